"""The built wheel, in an empty environment."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    subprocess.run(  # noqa: S603 - our own build
        [sys.executable, "-c", build, str(folder)], cwd=PROJECT, check=True, capture_output=True, timeout=120
    )
    return next(folder.glob("*.whl"))


def test_it_holds_manifest_templates_scripts_sample_workflow_and_the_type_marker(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        manifest = archive.read("github_app/manifest.yml").decode()

    assert "default_permissions" in manifest
    assert {
        *("github_app/py.typed", "github_app/setup/pages/start.html", "github_app/setup/pages/base.html"),
        *(
            "github_app/sandboxes/start.sh",
            "github_app/sandboxes/shell.sh",
            "github_app/sandboxes/job-started.sh",
            "github_app/demo/sample/.github/workflows/ci.yml",
        ),
    } <= names
    assert not [name for name in names if name.startswith(("tests", "docs"))]


def test_it_is_installed_by_pip_into_an_empty_environment_and_works(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", str(tmp_path))
    _run(str(tmp_path / "bin" / "pip"), "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    python, command = str(tmp_path / "bin" / "python"), str(tmp_path / "bin" / "modal-runner")
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # What it depends on comes from the environment of the tests, which has it from the lock. The checkout, which is
    # known there by a .pth file of its own, is not in reach: such files are not followed twice.
    (site / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    where = _run(python, "-c", "import github_app; print(github_app.__file__)")
    help_text = _run(command, "setup", "--help")
    explained = _run(command, "explain", '["modal", "gpu:h100"]', "--repo", "octo-org/train")
    # Without a checkout `modal deploy` takes what the wheel brings, and finds the package and its locked requirements.
    packaged = _run(
        python, "-c", "from github_app.deployment.functions import application_file as a; print(a())"
    ).strip()
    deployable = _run(python, "-c", f"import runpy; print(runpy.run_path({packaged!r})['app'].name)")
    manifest = _run(
        python, "-c", "from github_app.github.manifest import load_manifest; print(load_manifest()['public'])"
    )

    assert str(site) in where
    assert "--personal" in help_text
    assert "H100" in explained
    assert manifest.strip() == "False"
    assert packaged.startswith(str(site))
    assert deployable.strip() == "modal-runner"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/")  # noqa: S603

    assert done.returncode == 0, done.stderr
    return done.stdout

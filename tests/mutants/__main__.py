"""`make mutants`: plant each fault in a copy of the package, and see what catches it."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.faults import MUTANTS, Mutant

_ROOT = Path(__file__).parents[2]
_SEEDS = """
import os
import sys
from github_app.simulate.outcome import FAULTS
from github_app.simulate.plan import make_plan
from github_app.simulate.run import simulate
for seed in range(1, int(sys.argv[1]) + 1):
    for violation in simulate(make_plan(seed, 40, 2, FAULTS)).violations:
        print(f"seed {seed}: {violation.invariant}", flush=True)
        os._exit(1)
"""


def main() -> int:
    """Exit code 0: each is caught by the simulation or by the test that it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds the simulation has for each")
    parser.add_argument("--only", default="", help="a part of the names of those to plant")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    escaped = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, caught in zip(chosen, pool.map(lambda each: _caught(each, options.seeds), chosen), strict=True):
            escaped += caught is None
            print(f"{mutant.name:64} {caught or 'ESCAPED'}", flush=True)  # noqa: T201
    print(f"{len(chosen) - escaped} of {len(chosen)} caught")  # noqa: T201
    return 1 if escaped else 0


def _caught(mutant: Mutant, seeds: int) -> str | None:
    with tempfile.TemporaryDirectory(prefix="modal-runner-mutant-") as folder:
        root = Path(folder)
        for name in ("github_app", "tests"):
            shutil.copytree(_ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "manifest.yml", "modal_app.py"):
            shutil.copy(_ROOT / name, root / name)
        file = root / "github_app" / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.file} has what is to be replaced {text.count(mutant.old)} times")
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        # By a test first where one is named: that is quicker.
        if mutant.test is not None and _run(root, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test):
            return mutant.test
        return _run(root, "-c", _SEEDS, str(seeds))


def _run(root: Path, *arguments: str) -> str | None:
    """The last line of what fails; None if all is well."""
    ran = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 0:
        return None
    return ((ran.stdout.strip() or ran.stderr.strip()).splitlines() or ["failed"])[-1][:100]


if __name__ == "__main__":
    sys.exit(main())

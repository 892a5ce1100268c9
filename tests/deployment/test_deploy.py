"""`modal deploy modal_app.py`, the real command; and a job that goes through what was so deployed."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import modal
import pytest
from modal_proto import api_pb2

from github_app.demo.world import register as register_app
from github_app.deployment.rollout import _deploy_variables
from github_app.sandboxes import runner_image
from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.image import light_stand_in_image
from github_app.simulator.modal import SimulatedModal
from github_app.simulator.modal.deployments import Deployment
from tests.worlds.modal_workshop import connect
from tests.worlds.records import routing_settings

PROJECT = Path(__file__).parents[2]
IMAGE = light_stand_in_image()
_PATH = ".github/workflows/ci.yml"


def _environment(simulated: SimulatedModal, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(PROJECT), **simulated.env, **more}


async def _modal(simulated: SimulatedModal, *arguments: str, **variables: str) -> None:
    """Run Modal's command, in the project's directory, as a person does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modal", *arguments),
        cwd=PROJECT,
        env=_environment(simulated, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, output.decode()


async def _deploy(simulated: SimulatedModal, **variables: str) -> Deployment:
    await _modal(simulated, "deploy", "modal_app.py", **variables)
    return simulated.deployment("modal-runner")


async def _store_settings(simulated: SimulatedModal, folder: Path, variables: Mapping[str, str]) -> None:
    """As DEPLOY.md says: from a file of variables, with a key of several lines."""
    file = folder / "settings.env"
    file.write_text("".join(f'{name}="{value}"\n' for name, value in variables.items()))
    await _modal(simulated, "secret", "create", "modal-runner-settings", "--from-dotenv", str(file))


async def test_a_deploy_makes_a_web_function_and_a_schedule_and_the_next_one_replaces_them(tmp_path: Path) -> None:
    async with SimulatedModal(image=IMAGE) as simulated:
        await _store_settings(simulated, tmp_path, {"WEBHOOK_SECRET": "x"})
        first = dict((await _deploy(simulated)).function_ids)
        deployment = await _deploy(simulated)
        web, sweep = deployment.definitions["web"], deployment.definitions["sweep"]

        assert deployment.function_ids == first
        assert deployment.version == 2
        assert web.webhook_config.type == api_pb2.WEBHOOK_TYPE_ASGI_APP
        assert web.autoscaler_settings.max_containers == 1
        assert web.timeout_secs > 21 * 60
        assert sweep.schedule.cron.cron_string == "* * * * *"
        assert len(web.secret_ids) == len(sweep.secret_ids) == 1


async def test_the_deploy_builds_the_runners_image_and_heeds_what_it_is_given(tmp_path: Path) -> None:
    async with SimulatedModal(image=IMAGE) as simulated, connect(simulated) as client:
        await _store_settings(simulated, tmp_path, {"WEBHOOK_SECRET": "x"})
        given = {"RUNNER_VERSION": "2.999.1", "RUNNER_SHA256": "ab" * 32, "KEEP_WARM": "1", "SWEEP_CRON": "*/5 * * * *"}
        definitions = (await _deploy(simulated, **given)).definitions
        app = await modal.App.lookup.aio("any", create_if_missing=True, client=client)
        builds = simulated.calls["ImageGetOrCreate"]
        recipe = await runner_image("2.999.1", "ab" * 32).image().build.aio(app)

        assert definitions["runner"].image_id == recipe.object_id
        assert simulated.calls["ImageGetOrCreate"] > builds
        assert definitions["web"].autoscaler_settings.min_containers == 1
        assert definitions["sweep"].schedule.cron.cron_string == "*/5 * * * *"


async def test_a_job_goes_through_what_was_deployed_and_the_schedule_finds_one_whose_delivery_was_lost(
    tmp_path: Path,
) -> None:
    async with SimulatedGitHub(time.time) as github, SimulatedModal(image=IMAGE, hosting=True) as simulated:
        organization = github.world.add_account("octo-org")
        app, variables = await register_app(github, organization, "http://127.0.0.1:9")
        await _store_settings(simulated, tmp_path, variables)
        await _deploy(simulated)
        app.hook_url = f"{simulated.web_url('modal-runner', 'web')}/webhook"
        github.install(app, organization)
        repository = github.world.add_repository(organization, "repo")
        workflow = {"on": "push", "jobs": {"job": {"runs-on": ["modal"], "steps": [{"run": "true"}]}}}
        files = {_PATH: json.dumps(workflow).encode()}
        github.actions.push(repository, files, _PATH, {"job": 0.2})
        await _until_done(github, simulated)
        # From now on nothing is handed over any more.
        app.hook_url = "http://127.0.0.1:9/webhook"
        github.actions.push(repository, files, _PATH, {"job": 0.2})
        code = await simulated.run_function("modal-runner", "sweep")
        await _until_done(github, simulated)

        assert code == 0
        assert [job.conclusion for job in github.jobs()] == ["success", "success"]


async def _until_done(github: SimulatedGitHub, simulated: SimulatedModal) -> None:
    deadline = time.monotonic() + 30
    while any(job.status != "completed" for job in github.jobs()):
        assert time.monotonic() < deadline, simulated.container_log[-3000:]
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("file", ["app.txt", "otel.txt"])
def test_what_is_deployed_is_locked_to_the_versions_that_are_tested(file: str) -> None:
    tested, deployed = (
        set(
            re.findall(
                r"^([^\s\[=]+)(?:\[\S+\])?==([^ ;\\]+)", (PROJECT / "requirements" / each).read_text(), re.MULTILINE
            )
        )
        for each in ("dev.txt", file)
    )

    assert deployed
    assert deployed < tested
    assert any(name == "opentelemetry-sdk" for name, _ in deployed) == (file == "otel.txt")


@pytest.mark.parametrize(("endpoint", "file"), [(None, "app.txt"), ("https://collector.example/", "otel.txt")])
def test_what_sends_traces_is_deployed_where_traces_are_wanted(endpoint: str | None, file: str) -> None:
    settings = routing_settings(otel_exporter_otlp_endpoint=endpoint)
    variables = _deploy_variables(settings, PROJECT / "modal-runner.toml")
    code = "import modal_app; print(modal_app._REQUIREMENTS.name)"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == file

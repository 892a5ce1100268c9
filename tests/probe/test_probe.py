"""The probe, as a command over both simulators: each line holds, and fails where what it looks at is otherwise."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpclib import GRPCError, Status

from github_app.probe.assumptions import ASSUMPTIONS
from github_app.probe.job import FILE, snippet
from github_app.simulator.modal import Limits
from tests.worlds.control_plane import ControlPlane, running, until

# What a plain probe has to decide, whatever it finds.
DECIDED = {1, 2, 5, 6, 7, 9, 11, 14, 15, 18, 19, 20, 22}


@contextlib.asynccontextmanager
async def site(folder: Path, limits: Limits | None = None) -> AsyncIterator[ControlPlane]:
    async with running(folder, limits=limits, settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane:
        plane.github.world.add_repository(plane.organization, "app")
        yield plane


async def start(plane: ControlPlane, *arguments: str) -> asyncio.subprocess.Process:
    environment = {"PATH": os.environ["PATH"], "HOME": str(plane.log.parent), **plane.settings, **plane.modal.env}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", "probe", *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def probe(plane: ControlPlane, *arguments: str) -> tuple[int, dict[int, dict[str, Any]], str]:
    """Run it; its exit code, its lines by number, and what it printed beside its JSON."""
    process = await start(plane, "--json", *arguments)
    printed, complained = await asyncio.wait_for(process.communicate(), 90)
    assert printed, complained
    found = json.loads(printed)
    assert found.keys() == {"results", "cost_usd"}
    assert all(each.keys() == {"id", "assumption", "state", "evidence", "consequence"} for each in found["results"])
    return process.returncode or 0, {each["id"]: each for each in found["results"]}, complained.decode()


def states(lines: dict[int, dict[str, Any]], *numbers: int) -> list[str]:
    return [lines[number]["state"] for number in numbers]


async def test_a_plain_probe_decides_what_it_can_and_says_of_the_rest_what_to_do(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        # Not all within one second, as on a fast machine: their order would say nothing.
        min(plane.github.world.deliveries.values(), key=lambda each: each.id).delivered_at -= 60
        code, lines, told = await probe(plane)

        assert code == 0
        assert list(lines) == [each.id for each in ASSUMPTIONS]
        assert {number for number, line in lines.items() if line["state"] != "unknown"} == DECIDED
        assert all(line["evidence"] for line in lines.values())
        assert {n for n, line in lines.items() if line["consequence"]} == {
            n for n, line in lines.items() if line["state"] == "does-not-hold"
        }
        # As Modal's docs and nobody's word have it: threads by the request, and runners that update themselves.
        assert states(lines, 2, 6) == ["does-not-hold", "does-not-hold"]
        assert "cost" in told.lower()
        # Nothing is left: no sandbox, no runner, no Dict, no Volume of its own.
        assert not any(view.running for view in plane.modal.sandboxes())
        assert not plane.github.world.runners
        assert plane.modal.calls["DictDelete"] == plane.modal.calls["VolumeDelete"] == 1


# What is otherwise at Modal, and at GitHub; what the probe then has to say, and with which exit code.
WORLDS: dict[str, tuple[Limits, dict[str, bool], dict[int, str], int]] = {
    "no setuid": (Limits(setuid=False), {}, {1: "does-not-hold"}, 0),
    "threads by the limit": (Limits(threads="limit"), {}, {2: "holds"}, 0),
    "labels refused": (Limits(), {"labels_refused": True}, {5: "does-not-hold", 18: "holds", 6: "does-not-hold"}, 1),
    "labels and narrow tokens refused": (
        Limits(),
        {"labels_refused": True, "narrowed_tokens_register": False},
        {5: "does-not-hold", 18: "does-not-hold"},
        1,
    ),
    "patterns of one level": (Limits(deep_wildcards=False), {}, {19: "does-not-hold"}, 0),
    "labels of GitHub's own besides": (Limits(), {"labels_added": True}, {5: "holds"}, 0),
    "labels changed": (Limits(), {"labels_lowered": True}, {5: "does-not-hold"}, 1),
    "runners that do not update": (Limits(), {"runners_update": False}, {6: "holds"}, 0),
    "a blind witness": (Limits(sees_processes=False), {}, {7: "does-not-hold"}, 1),
    "narrow tokens": (Limits(), {"narrowed_tokens_register": False}, {18: "does-not-hold", 5: "holds"}, 0),
    "an open closed network": (Limits(open_to_all=True), {}, {19: "does-not-hold"}, 0),
    "another builder": (
        Limits(builder="2026.10", builders=frozenset({"2026.10"})),
        {},
        {22: "does-not-hold", 9: "holds"},
        0,
    ),
}


@pytest.mark.parametrize("world", WORLDS)
async def test_what_is_otherwise_is_told(tmp_path: Path, world: str) -> None:
    limits, github, expected, exit_code = WORLDS[world]
    async with site(tmp_path, limits) as plane:
        for name, value in github.items():
            setattr(plane.github, name, value)
        code, lines, _ = await probe(plane)

        assert {number: lines[number]["state"] for number in expected} == expected, lines
        assert code == exit_code


class Lies:
    """Tells everyone who puts a key at once that it was put, and lets nobody build from inside a sandbox."""

    async def before(self, rpc: str, request: Any) -> None:
        if rpc == "ImageGetOrCreate" and any(
            "modal-runner-probe" in line for line in request.image.dockerfile_commands
        ):
            raise GRPCError(Status.PERMISSION_DENIED, "a container may not build")

    async def after(self, rpc: str, request: Any, response: Any) -> None:
        if rpc == "DictUpdate" and request.if_not_exists:
            response.created = True


async def test_a_dict_with_many_winners_and_a_container_that_may_not_build_are_told(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        plane.modal.interceptor = Lies()
        code, lines, _ = await probe(plane)

        assert states(lines, 9, 11) == ["does-not-hold", "does-not-hold"]
        assert "50, 50" in lines[11]["evidence"]
        assert "PermissionDenied" in lines[9]["evidence"]
        assert code == 1


@pytest.mark.parametrize(("works", "state", "exit_code"), [(True, "holds", 0), (False, "does-not-hold", 1)])
async def test_docker_and_a_gpu_are_looked_at_where_asked_for(
    tmp_path: Path, *, works: bool, state: str, exit_code: int
) -> None:
    async with site(tmp_path, Limits(docker=works, gpu_works=works)) as plane:
        code, lines, _ = await probe(plane, "--gpu", "t4", *(["--docker"] if works else []))
        kinds = {view.request.definition.resources.gpu_config.gpu_type for view in plane.modal.sandboxes()}

        assert lines[4]["state"] == state
        assert lines[3]["state"] == ("holds" if works else "unknown")
        assert code == exit_code
        assert "T4" in kinds


class NoSuchMachine:
    """Refuses virtual machines, and machines with a GPU."""

    async def before(self, rpc: str, request: Any) -> None:
        definition: Any = getattr(request, "definition", None)
        if rpc.startswith("SandboxCreate") and (definition.runtime == "vm" or definition.resources.gpu_config.gpu_type):
            raise GRPCError(Status.INVALID_ARGUMENT, "not in this workspace")

    async def after(self, rpc: str, request: Any, response: Any) -> None:
        pass


async def test_a_machine_that_modal_refuses_does_not_hold(tmp_path: Path) -> None:
    async with site(tmp_path, Limits(docker=True)) as plane:
        plane.modal.interceptor = NoSuchMachine()
        code, lines, _ = await probe(plane, "--gpu", "t4", "--docker")

        assert states(lines, 3, 4) == ["does-not-hold", "does-not-hold"]
        assert "not in this workspace" in lines[3]["evidence"]
        assert code == 1


class NoVolumes:
    """Takes the Volumes of sandboxes and mounts none."""

    async def before(self, rpc: str, request: Any) -> None:
        if rpc.startswith("SandboxCreate"):
            del request.definition.volume_mounts[:]

    async def after(self, rpc: str, request: Any, response: Any) -> None:
        pass


async def test_a_volume_that_cannot_be_filled_is_told(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        plane.modal.interceptor = NoVolumes()
        code, lines, _ = await probe(plane)

        assert lines[15]["state"] == "does-not-hold", lines[15]
        assert code == 0


async def test_a_registry_that_refuses_says_nothing_of_docker(tmp_path: Path) -> None:
    async with site(tmp_path, Limits(docker=True, docker_pulls=False)) as plane:
        code, lines, _ = await probe(plane, "--docker")

        assert lines[3]["state"] == "unknown"
        assert "toomanyrequests" in lines[3]["evidence"]
        assert code == 0


async def test_deliveries_tell_of_order_and_of_the_first_answer_after_an_idle_hour(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        await plane.github.webhooks.settle()
        first, *later = sorted(plane.github.world.deliveries.values(), key=lambda each: each.id)
        first.delivered_at = time.time() - 7200
        for each in later:
            each.duration, each.delivered_at = 4.2, time.time()
        _, holds, _ = await probe(plane)
        later[-1].duration, later[-1].status = 10.0, "timed out"
        first.delivered_at = time.time() + 60
        _, otherwise, _ = await probe(plane)

        assert states(holds, 10, 14) == ["holds", "holds"]
        assert "4.2 s" in holds[10]["evidence"]
        assert states(otherwise, 10, 14) == ["does-not-hold", "does-not-hold"]


async def test_what_cannot_be_looked_at_is_unknown_with_its_reason(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        plane.app.permissions.pop("organization_self_hosted_runners")
        code, lines, _ = await probe(plane)

        assert states(lines, 5, 6, 18) == ["unknown", "unknown", "unknown"]
        assert "could not be looked at" in lines[5]["evidence"]
        assert code == 0


async def test_the_record_steers_what_is_started_next(tmp_path: Path) -> None:
    async with site(tmp_path, Limits(setuid=False)) as plane:
        await probe(plane)
        async with running_again(plane) as url:
            plane.app.hook_url = f"{url}/webhook"
            text = b"on: push\njobs:\n  a:\n    runs-on: [self-hosted, modal]\n    steps:\n      - run: 'true'\n"
            repository = plane.github.world.repositories["octo-org/app"]
            [job] = plane.github.actions.push(
                repository, {".github/workflows/a.yml": text}, ".github/workflows/a.yml"
            ).jobs
            await until(lambda: job.status == "completed", within=30)
        view = next(view for view in plane.modal.sandboxes() if job.runner and view.name == job.runner.name)
        variables = {k: v for source in view.request.secret_sources for k, v in source.env.contents.items()}

        assert job.conclusion == "success"
        assert variables["MODAL_RUNNER_SUDO"] == "no"


@contextlib.asynccontextmanager
async def running_again(plane: ControlPlane) -> AsyncIterator[str]:
    """The app once more, as after a redeploy."""
    from tests.worlds.control_plane import _url, serve

    log = plane.log.with_name("again.log")
    settings = {**plane.settings, **plane.modal.env, "SWEEP_INTERVAL_SECONDS": "0"}
    async with serve(settings, log) as process:
        yield await _url(process, log)


async def test_the_report_is_the_last_probe_without_a_secret_or_a_name(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        none = await start(plane, "--report")
        _, complained = await none.communicate()
        await probe(plane, "--gpu", "T4")
        # What an earlier probe has decided stays, where a later one does not look.
        _, lines, _ = await probe(plane)
        process = await start(plane, "--report")
        printed, _ = await process.communicate()
        report = json.loads(printed)
        text = printed.decode()

        assert (none.returncode, b"No probe was made yet" in complained) == (1, True)
        assert lines[4]["state"] == "holds"
        assert report.keys() == {"made", "versions", "results", "cost_usd"}
        assert {"modal-runner", "modal", "python", "actions/runner"} == report["versions"].keys()
        for secret in (*plane.settings.values(), *plane.modal.env.values(), plane.organization.login, "ghs_"):
            assert secret not in text


async def test_a_real_job_is_watched_from_the_button_to_its_end(tmp_path: Path) -> None:
    async with site(tmp_path) as plane:
        process = await start(plane, "--repo", "octo-org/app")
        assert process.stderr is not None
        text = ""
        while "Run workflow" not in text:
            text += (await asyncio.wait_for(process.stderr.read(4096), 60)).decode()
        path = f".github/workflows/{FILE}"
        repository = plane.github.world.repositories["octo-org/app"]
        workflow = (
            snippet("modal").replace("workflow_dispatch", "push").replace("permissions: {}\n", "").replace("20", "1")
        )
        run = plane.github.actions.push(repository, {path: workflow.encode()}, path)
        run.event = "workflow_dispatch"
        _, rest = await asyncio.wait_for(process.communicate(), 60)
        text += rest.decode()

        assert process.returncode == 0, text
        assert "runs-on: [self-hosted, modal]" in text
        assert f"job {run.jobs[0].id}: success, on modal-{run.jobs[0].id}-1" in text
        for moment in (
            "queued at GitHub",
            "its delivery recorded",
            "its runner registered",
            "in progress",
            "completed",
        ):
            assert moment in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--gpu", "h1000"), "names no GPU of Modal"), (("--repo", "octo-org"), "write owner/name")],
)
async def test_wrong_arguments_are_told_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", "probe", *arguments),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complained = await process.communicate()

    assert process.returncode == 2
    assert words in complained.decode()

"""A real Prometheus over two containers of the app: its figures are what GitHub and Modal have seen."""

import asyncio
import contextlib
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest

from github_app.clock import Clock
from github_app.demo.world import World, world
from github_app.simulator.image import light_stand_in_image

_PROMETHEUS = shutil.which("prometheus")
_TOKEN = "canary-metrics-token"
_PATH = ".github/workflows/counted.yml"
_JIT = "POST /orgs/{org}/actions/runners/generate-jitconfig"
_WITHIN_S = 60.0

pytestmark = pytest.mark.skipif(
    _PROMETHEUS is None, reason="prometheus is not there; on Debian: apt install prometheus"
)


class Prometheus:
    """One that runs, and what it is asked."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self._client = httpx.AsyncClient(trust_env=False, base_url=url)

    async def close(self) -> None:
        await self._client.aclose()

    async def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await self._client.get("/-/ready")).status_code == 200
        assert self.process.returncode is None
        return False

    async def value(self, expression: str) -> float:
        """The one value of an expression; nothing is 0."""
        answer = (await self._client.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", answer
        found = answer["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    async def values(self, asked: Mapping[str, str]) -> dict[str, float]:
        return {name: await self.value(each) for name, each in asked.items()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def _scraping(it: World, folder: Path) -> AsyncIterator[Prometheus]:
    targets = [each.url.removeprefix("http://") for each in it.containers]
    token = folder / "token"
    token.write_text(_TOKEN)
    scrape = {
        "job_name": "modal-runner",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "authorization": {"credentials_file": str(token)},
        "static_configs": [{"targets": targets}],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [scrape]}))
    address = f"127.0.0.1:{_free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(_PROMETHEUS),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    prometheus = Prometheus(f"http://{address}", process)
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not await prometheus.ready():
                await asyncio.sleep(0.05)
        yield prometheus
    finally:
        await prometheus.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _push(it: World, *labels: str) -> None:
    jobs = {
        f"job-{number}": {"runs-on": each.split(), "steps": [{"run": "true"}]} for number, each in enumerate(labels)
    }
    workflow = json.dumps({"name": "counted", "on": "push", "jobs": jobs})
    repository = it.github.world.repositories.get("octo-org/app") or it.github.world.add_repository(
        it.organization, "app"
    )
    it.github.actions.push(repository, {_PATH: workflow.encode()}, _PATH, dict.fromkeys(jobs, 0.2))


async def test_what_prometheus_has_read_is_what_github_and_modal_have_seen(tmp_path: Path) -> None:
    """Also of a container that has ended since."""
    settings = {"METRICS_TOKEN": _TOKEN}
    clock = Clock(30.0, time.time())
    asked = {
        "finished": "sum(max by (conclusion) (modal_runner_jobs_finished_total))",
        "deliveries": "sum(max by (outcome, http_status) (modal_runner_deliveries_total))",
        "launches": 'max(modal_runner_launches_total{outcome="started"})',
        "registered": f'sum(max by (status) (modal_runner_github_requests_total{{route="{_JIT}"}}))',
        "refusals": "sum(max by (code) (modal_runner_refusals_total))",
        "starts": 'max(modal_runner_start_seconds_count{part="all"})',
        "scraped": "count(up == 1)",
    }
    async with (
        world(containers=2, clock=clock, image=light_stand_in_image(), settings=settings) as it,
        _scraping(it, tmp_path) as prometheus,
    ):
        for _ in range(3):
            _push(it, "modal", "modal gpu:t4", "modal gpu:nope")
        async with asyncio.timeout(_WITHIN_S):
            while sum(job.status == "completed" for job in it.github.jobs()) < 6 or it.github.webhooks.under_way:
                await asyncio.sleep(0.1)
        second = it.containers[1].process
        second.terminate()
        await second.wait()

        def seen() -> dict[str, float]:
            return {
                "finished": 6,
                "deliveries": sum(each.status_code != 0 for each in it.github.world.deliveries.values()),
                "launches": len(it.modal.sandboxes()),
                "registered": it.github.calls[_JIT],
                "refusals": 3,
                "starts": 6,
                "scraped": 1,
            }

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN_S):
                while await prometheus.values(asked) != seen():
                    await asyncio.sleep(0.2)

        assert await prometheus.values(asked) == seen()
        # Neither container has told less than before, which Prometheus takes for a restart.
        assert await prometheus.value("max(resets(modal_runner_deliveries_total[10m]))") == 0

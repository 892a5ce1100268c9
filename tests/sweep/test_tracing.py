"""Traces of jobs, as a collector receives them."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from github_app.errors import ConfigError
from github_app.jobs.traces import trace_of
from github_app.model import JobRecord, JobState, Ran
from github_app.settings.load import problems_of
from github_app.simulator.listening import listen
from github_app.store import RUNNERS
from github_app.sweep import tracing
from github_app.sweep.tracing import Tracing
from tests.worlds.records import job
from tests.worlds.universe import PLAIN, Universe, universe

_RAN = Ran("modal-11-1", 11, "sb-1", 2.0, 2048, "H100", None, None, 3.6, 1002.0, 1004.0)
_STRANGE = "<b>\x1b[31m" + "x" * 10_000


@dataclass
class Collector:
    """What takes OTLP over HTTP."""

    url: str = ""
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    async def take(self, request: Request) -> Response:
        said = ExportTraceServiceRequest.FromString(await request.body())
        self.headers.append(dict(request.headers))
        if self.status == 200:
            for each in said.resource_spans:
                self.services |= {
                    one.value.string_value for one in each.resource.attributes if one.key == "service.name"
                }
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return Response(status_code=self.status)


@contextlib.asynccontextmanager
async def _collector() -> AsyncIterator[Collector]:
    taking = Collector()
    routes = [Route("/v1/traces", taking.take, methods=["POST"])]
    sock = listen()
    taking.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    config = uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([sock]))
    try:
        yield taking
    finally:
        server.should_exit = True
        await serving


def _over(ran: Ran | None = _RAN, conclusion: str = "success", **event: Any) -> JobRecord:
    ended = {"started_at": 1010.0, "completed_at": 1070.0, "conclusion": conclusion, "ran": ran}
    return msgspec.structs.replace(job(JobState.DONE, 1001.0, queued_at=1000.0, **event), **ended)


async def _until_forgotten(it: Universe) -> None:
    await it.until_done()
    while await it.store.all(RUNNERS):
        await it.clock.sleep(31)
        await it.sweep()


async def test_each_job_that_is_over_becomes_one_trace() -> None:
    async with _collector() as collector:
        settings = {"otel_exporter_otlp_endpoint": collector.url, "otel_exporter_otlp_headers": "x-team=ci,x-key=a%20b"}
        async with universe(settings=settings) as it:
            it.push({"one": (PLAIN, 5), "two": (PLAIN, 5)})
            await _until_forgotten(it)
            await it.sweep()
        roots = {span.trace_id: span for span in collector.spans if not span.parent_span_id}
        parts = [span for span in collector.spans if span.parent_span_id]

        assert len(roots) == 2
        assert collector.services == {"modal-runner"}
        assert collector.headers[0]["x-team"] == "ci"
        assert collector.headers[0]["x-key"] == "a b"
        assert {span.name for span in roots.values()} == {"job"}
        for root in roots.values():
            own = [span for span in parts if span.trace_id == root.trace_id]
            assert own[-1].name == "run"
            assert {span.parent_span_id for span in own} == {root.span_id}
            assert own[0].start_time_unix_nano == root.start_time_unix_nano
            assert own[-1].end_time_unix_nano == root.end_time_unix_nano
            assert all(before.end_time_unix_nano == span.start_time_unix_nano for before, span in pairwise(own))


async def test_a_trace_says_where_the_time_went_and_on_what_the_job_ran() -> None:
    async with _collector() as collector:
        sending = Tracing(collector.url + "/", None, "modal-runner")
        await sending.send([_over(conclusion="failure", workflow="ci", job_name="build")])
        root, *parts = collector.spans
        took = {span.name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for span in collector.spans}
        told = {each.key: each.value.string_value or each.value.int_value for each in root.attributes}

        assert took == {"job": 70.0, "delivery": 1.0, "ours": 1.0, "modal": 2.0, "runner": 6.0, "run": 60.0}
        assert root.status.code == Status.STATUS_CODE_ERROR
        assert told == {
            "vcs.repository.name": "octo-org/app",
            "cicd.pipeline.name": "ci",
            "cicd.pipeline.run.id": "22",
            "cicd.pipeline.task.name": "build",
            "cicd.pipeline.task.run.id": "11",
            "cicd.pipeline.task.run.result": "failure",
            "cicd.worker.name": "modal-11-1",
            "modal_runner.machine": "H100, 2 vCPU, 2g",
            "modal_runner.sandbox": "sb-1",
            "modal_runner.attempt": 1,
        }
        assert not any(part.attributes for part in parts)


def test_a_trace_that_is_made_again_is_the_same_and_no_other_jobs() -> None:
    assert trace_of(_over()) == trace_of(_over())
    assert trace_of(_over()).id != trace_of(_over(job_id=12)).id
    assert len({span.id for span in (trace_of(_over()).whole, *trace_of(_over()).parts)}) == 6


@pytest.mark.parametrize(
    ("ran", "parts"),
    [
        (None, ["wait", "run"]),
        (msgspec.structs.replace(_RAN, started_for=12), ["wait", "run"]),
        (msgspec.structs.replace(_RAN, created_at=None), ["wait", "run"]),
        # Clocks that differ.
        (msgspec.structs.replace(_RAN, jit_at=900.0), ["delivery", "ours", "modal", "runner", "run"]),
    ],
)
def test_parts_follow_each_other_whatever_is_known(ran: Ran | None, parts: list[str]) -> None:
    trace = trace_of(_over(ran))

    assert [span.name for span in trace.parts] == parts
    assert [span.begin for span in trace.parts[1:]] == [span.end for span in trace.parts[:-1]]
    assert all(span.begin <= span.end for span in trace.parts)


def test_what_strangers_have_named_is_short_and_visible() -> None:
    told = trace_of(_over(job_name=_STRANGE, workflow=_STRANGE, branch=_STRANGE)).attributes
    shown = str(told["cicd.pipeline.task.name"])

    assert shown.startswith("<b>\\x1b[31mxxx")
    assert len(shown) == 200


async def test_a_collector_that_fails_is_told_in_the_log_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with _collector() as collector:
        collector.status = 400
        await Tracing(collector.url, SecretStr("x-key=canary"), "modal-runner").send([_over()])

    assert "traces_not_sent" in caplog.text
    assert "canary" not in caplog.text


def test_without_the_packages_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_SDK", ("opentelemetry.gone", "gone.too"))

    with pytest.raises(ConfigError, match=r"pip install 'modal-runner\[otel\]'"):
        Tracing("http://collector:4318", None, "modal-runner").check()
    Tracing(None, None, "modal-runner").check()


def test_nobody_imports_the_sdk_who_has_not_asked_for_it() -> None:
    code = "import sys, github_app.compose; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert ran.stdout.strip() == "[]"


def test_a_password_does_not_stand_in_the_address() -> None:
    (problem,) = problems_of({"otel_exporter_otlp_endpoint": "https://user:canary@collector/"})

    assert "OTEL_EXPORTER_OTLP_HEADERS" in problem
    assert "canary" not in problem

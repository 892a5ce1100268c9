"""Traces of jobs that are over, sent by OpenTelemetry's SDK, which is there with the extra `otel`."""

import asyncio
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from github_app.errors import ConfigError
from github_app.jobs.traces import Span, Trace, trace_of
from github_app.model import JobRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

# The SDK tries again until then.
_WITHIN_S = 10.0
_MISSING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT: the packages that send traces are missing. Here they come with "
    "`pip install 'modal-runner[otel]'`, on Modal with `modal-runner redeploy`."
)
_SDK = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

_log = structlog.get_logger(__name__)


class Tracing:
    """Sends traces to a collector, if one is named. The SDK is imported when the first is sent: it takes a while."""

    def __init__(self, endpoint: str | None, headers: SecretStr | None, service: str) -> None:
        """`endpoint` without the path of traces; `headers` as `name=value` with commas between."""
        self._endpoint = endpoint and endpoint.rstrip("/")
        self._headers = headers
        self._service = service
        self._exporter: SpanExporter | None = None

    def check(self) -> None:
        """See that what is needed is installed.

        Raises:
            ConfigError: it is not.
        """
        if self._endpoint is not None and not all(map(_is_there, _SDK)):
            raise ConfigError([_MISSING])

    async def send(self, jobs: Sequence[JobRecord]) -> None:
        """Send a trace for each job that is over. Never raises; what does not arrive is not sent again."""
        if self._endpoint is None or not jobs:
            return
        try:
            # The SDK waits for the network, and knows no event loop.
            sent = await asyncio.to_thread(self._send, [trace_of(job) for job in jobs])
        except Exception as error:  # whatever ails the collector must not keep anything from being repaired
            _log.warning("traces_not_sent", jobs=len(jobs), error=type(error).__name__)
            return
        if not sent:
            _log.warning("traces_not_sent", jobs=len(jobs))

    def _send(self, traces: Sequence[Trace]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._exporter is None:
            self._exporter = self._connected()
        spans = [span for trace in traces for span in _readable(trace, self._service)]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def _connected(self) -> "SpanExporter":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.util.re import parse_env_headers

        given = parse_env_headers(self._headers.get_secret_value(), liberal=True) if self._headers else {}
        return OTLPSpanExporter(f"{self._endpoint}/v1/traces", headers=given, timeout=_WITHIN_S)


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _readable(trace: Trace, service: str) -> list["ReadableSpan"]:
    """A trace as the SDK's own spans, with our ids and times."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span: Span) -> SpanContext:
        return SpanContext(trace.id, span.id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    resource, status = (
        Resource.create({SERVICE_NAME: service}),
        Status(StatusCode.ERROR if trace.failed else StatusCode.OK),
    )
    return [
        ReadableSpan(
            span.name,
            context(span),
            parent=None if span is trace.whole else context(trace.whole),
            resource=resource,
            attributes=trace.attributes if span is trace.whole else {},
            kind=SpanKind.INTERNAL,
            status=status if span is trace.whole else Status(),
            start_time=round(span.begin * 1e9),
            end_time=round(span.end * 1e9),
        )
        for span in (trace.whole, *trace.parts)
    ]

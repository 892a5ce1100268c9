"""`/metrics`, for Prometheus: what the records say when it asks, so that every container says the same, also a new one.

Sources: prometheus.io, "Metric and label naming", "Exposition formats".
"""

import asyncio
import hmac
import time
from collections.abc import Iterable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from github_app.clock import Clock
from github_app.errors import StoreError
from github_app.runners.versions import RunnerVersion
from github_app.store import (
    SWEEPS,
    TALLIES,
    TOTALS,
    ModalDictStore,
)
from github_app.store.notes import Totals
from github_app.store.tallies import in_all
from github_app.views.status import read_records
from github_app.web.families import Seen, families

# However often it is asked for, the records are read no more often than this.
_GOOD_FOR_S = 5.0


class Metrics:
    """Answers Prometheus, where a token is set; without one there is no such page."""

    def __init__(self, store: ModalDictStore, version: RunnerVersion, token: SecretStr | None, clock: Clock) -> None:
        self._store = store
        self._version = version
        self._token = token.get_secret_value() if token else ""
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read: tuple[float, list[Metric]] = (float("-inf"), [])

    async def answer(self, request: Request) -> Response:
        """Serve one scrape: 404 without a token in the settings, 401 without it in the request."""
        if not self._token:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        given = request.headers.get("authorization", "")
        # Bytes: a header may hold what is not ASCII.
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("METRICS_TOKEN is wanted", HTTPStatus.UNAUTHORIZED, challenge)
        try:
            found = await self._families()
        except StoreError as error:
            return PlainTextResponse(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        registry = CollectorRegistry()
        registry.register(_Found(found))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    async def _families(self) -> list[Metric]:
        async with self._reading:
            at, found = self._read
            if time.monotonic() - at > _GOOD_FOR_S:
                found = await self._collected()
                self._read = (time.monotonic(), found)
            return found

    async def _collected(self) -> list[Metric]:
        store = self._store
        records = await read_records(store)
        totals, tallies, swept, stopped = await asyncio.gather(
            store.get(TOTALS, "all"), store.all(TALLIES), store.get(SWEEPS, "last"), self._version.refused()
        )
        now = self._clock.now()
        seen = Seen(records, totals or Totals(), in_all(tallies, now), swept, stopped)
        return list(families(seen, now))


class _Found(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found

"""`make bench`: how long the intake of one delivery takes, from headers and bytes to the event."""

import hashlib
import hmac
import statistics
import time
from pathlib import Path

from github_app.web import delivery

_SECRET = "bench"
_ROUNDS = 2000
_PAYLOADS = Path(__file__).parent / "contract" / "payloads"


def main() -> None:
    """Print the median time for each recorded payload."""
    for file in sorted(_PAYLOADS.glob("*queued.json")):
        body = file.read_bytes()
        headers = {
            "content-type": "application/json",
            "x-github-event": "workflow_job",
            "x-github-delivery": "bench",
            "x-hub-signature-256": "sha256=" + hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest(),
        }
        print(f"{file.name:<36} {len(body):>6} bytes  {_median_us(headers, body):6.1f} us")  # noqa: T201


def _median_us(headers: dict[str, str], body: bytes) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        delivery.check_headers(headers)
        delivery.check_signature(headers, body, [_SECRET])
        delivery.decode(headers, body)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()

"""The floor of the intake: Starlette under the same server, which verifies and decodes, and does nothing else."""

import asyncio
import hashlib
import hmac
import json
import socket

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.intake import SECRET
from github_app.web.server import Listener, server


async def _webhook(request: Request) -> JSONResponse:
    body = await request.body()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={signature}", request.headers["x-hub-signature-256"]):
        return JSONResponse({"status": "rejected"}, 401)
    json.loads(body)
    return JSONResponse({"status": "ignored"}, 202)


def main() -> None:
    """Serve on a free port, which is printed."""
    listener = Listener(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(listener.getsockname()[1], flush=True)
    asyncio.run(_serve(listener))


async def _serve(listener: socket.socket) -> None:
    app = Starlette(routes=[Route("/webhook", _webhook, methods=["POST"])])
    await server(app).serve(sockets=[listener])


if __name__ == "__main__":
    main()

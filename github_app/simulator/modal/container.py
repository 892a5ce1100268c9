"""What Modal's containers do: import the deployed module, and serve or run one of its functions.

Run as a program: `python container.py MODULE FUNCTION [FD]`; with a descriptor of a listening socket the function
makes an ASGI application, which is served there.
"""

import asyncio
import importlib
import inspect
import socket
import sys


def main() -> None:
    """Run one function as its definition says."""
    module, function, *descriptor = sys.argv[1:]
    run = getattr(importlib.import_module(module), function).local
    if descriptor:
        import uvicorn

        served = uvicorn.Server(uvicorn.Config(run(), log_config=None, lifespan="on"))
        served.run(sockets=[socket.socket(fileno=int(descriptor[0]))])
        return
    result = run()
    if inspect.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main()

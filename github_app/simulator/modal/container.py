"""What Modal's containers do: import the deployed module, and serve or run one of its functions.

Run as a program: `python -m github_app.simulator.modal.container MODULE FUNCTION [PORT]`; with a port the function
makes an ASGI application, which is served there.
"""

import asyncio
import importlib
import inspect
import sys


def main() -> None:
    """Run one function as its definition says."""
    module, function, *port = sys.argv[1:]
    run = getattr(importlib.import_module(module), function).local
    if port:
        import uvicorn

        uvicorn.run(run(), host="127.0.0.1", port=int(port[0]), log_config=None, lifespan="on")
        return
    result = run()
    if inspect.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main()

"""Services that take their time: each call of Modal's Dict, and GitHub's answer with a JIT config."""

import asyncio
import time
from typing import Any

from google.protobuf.message import Message

from github_app.simulator.github.faults import NoFaults

JIT_S = 0.150
_JIT = "generate-jitconfig"


class SlowModal:
    """Lets each call of a Dict take `dict_s`, and notes when sandboxes were asked for, by runner name."""

    def __init__(self, dict_s: float) -> None:
        self._dict_s = dict_s
        self.created: dict[str, float] = {}

    async def before(self, rpc: str, request: Message) -> None:
        """Take half of the time before the effect."""
        if rpc.startswith("SandboxCreate"):
            sent: Any = request
            self.created.setdefault(sent.definition.name, time.perf_counter())
        if rpc.startswith("Dict"):
            await asyncio.sleep(self._dict_s / 2)

    async def after(self, rpc: str, _request: Message, _response: Message) -> None:
        """And half after it."""
        if rpc.startswith("Dict"):
            await asyncio.sleep(self._dict_s / 2)


class SlowJit(NoFaults):
    """GitHub's answer with a JIT config takes a while; all others come at once."""

    async def before(self, call: str) -> None:
        """Wait, where it is one."""
        if call.endswith(_JIT):
            await asyncio.sleep(JIT_S)

"""`modal-runner launching`: stop starting runners, and let it go on."""

import asyncio
import getpass
from enum import StrEnum
from typing import Annotated

import typer

from github_app.clock import Clock
from github_app.runners.versions import RunnerVersion
from github_app.settings.load import load_routing_settings
from github_app.store import ModalDictStore


class What(StrEnum):
    """What to do."""

    show = "show"
    stop = "stop"
    go_on = "go-on"


def launching(
    what: Annotated[What, typer.Argument(help="show, stop or go-on.")] = What.show,
) -> None:
    """Stop starting runners, or let it go on. Needs Modal's token alone.

    What runs goes on, and what is queued waits. Every process keeps to it within half a minute.

    Exit code 0: done or shown; 1: Modal did not answer.

    Example: modal-runner launching stop
    """
    typer.echo(asyncio.run(_launching(what)))


async def _launching(what: What) -> str:
    settings = load_routing_settings()
    version = RunnerVersion(ModalDictStore(settings.modal_app_name), settings.runner_version, Clock())
    if what is not What.show:
        await version.pause(getpass.getuser(), go_on=what is What.go_on)
    return await version.refused() or "runners are started"

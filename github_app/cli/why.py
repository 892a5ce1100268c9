"""`modal-runner why`: why one job waits."""

import asyncio
import logging
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from github_app import log
from github_app.cli.pages import job_id_of, repository_of
from github_app.cli.source import connected, routing_settings, sweeps_every_s
from github_app.clock import Clock
from github_app.compose import caps_of
from github_app.foreign_text import ascii_json, visible
from github_app.operations.why import Answer, answer, gather
from github_app.runners.versions import RunnerVersion
from github_app.sandboxes import ModalSandboxes
from github_app.settings.make_rules import make_rules
from github_app.store import ModalDictStore

_STYLES = {"ok": "green", "waiting": "yellow", "wrong": "red", "unknown": "yellow"}


def why(
    job: Annotated[str, typer.Argument(help="A job's id, or the address of its page at GitHub.", metavar="JOB|URL")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say why a job waits: the whole chain from its delivery to its runner, and the first link that is not right.

    Needs Modal's token; GitHub is asked too where the App's credentials are in the environment or in its Modal Secret.

    Exit code 0: it runs, has run, or waits for what comes by itself; 1: something is wrong, or nothing is known of it;
    2: not the form of an id or an address.

    Example: modal-runner why https://github.com/octo-org/train/actions/runs/7001/job/41230001
    """
    log.configure(level=logging.CRITICAL)
    found = asyncio.run(_asked(job_id_of(job), repository_of(job)))
    if as_json:
        typer.echo(ascii_json(found))
    else:
        _show(found)
    raise typer.Exit(1 if found.wrong else 0)


async def _asked(job_id: int, repository: str | None) -> Answer:
    settings, config = await routing_settings()
    rules = make_rules(settings, config)
    store = ModalDictStore(settings.modal_app_name, create=False)
    async with connected((settings, config)) as (parts, without):
        facts = await gather(
            job_id,
            repository,
            store=store,
            sandboxes=ModalSandboxes(settings.modal_app_name, {}),
            rules=rules,
            version=RunnerVersion(store, settings.runner_version, Clock()),
            caps=caps_of(settings, config),
            parts=parts,
            without=without,
            now=time.time(),
            sweeps_every_s=sweeps_every_s(settings),
        )
    return answer(facts, rules)


def _show(found: Answer) -> None:
    console = Console(highlight=False, soft_wrap=True)
    where = f" of {found.repository}" if found.repository else ""
    console.print(Text(visible(f"Job {found.job}{where}: {found.state}")))
    for link in found.chain:
        console.print(Text(f"  {link.state:<8}", _STYLES[link.state]) + Text(visible(f"{link.name:<9} {link.told}")))
    if found.reason:
        console.print(Text(visible(f"-> {found.reason}"), "bold"))

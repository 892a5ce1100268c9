"""`modal-runner probe`: what is assumed of GitHub and Modal, looked at on this account."""

import asyncio
import json
import logging
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from github_app import log
from github_app.cli.source import deployed_settings
from github_app.clock import Clock
from github_app.compose import Parts, compose
from github_app.errors import InputError
from github_app.foreign_text import ascii_json
from github_app.model import Gpu
from github_app.probe import Probe, Wanted, hopeless, last, show, was_seen_now
from github_app.probe.job import FILE, JobProbe, snippet
from github_app.routing import labels
from github_app.routing.policy import is_full_name
from github_app.routing.units import as_money
from github_app.settings.load import load_routing_settings
from github_app.settings.variables import Settings
from github_app.store import ModalDictStore
from github_app.store.notes import Probed, ProbeReport, ProbeResult


def probe(
    gpu: Annotated[str | None, typer.Option(help="Look at a GPU too: its type, such as T4.")] = None,
    repo: Annotated[
        str | None, typer.Option(help="Watch one real job too, in owner/name, of a workflow that you add and start.")
    ] = None,
    *,
    docker: Annotated[bool, typer.Option("--docker", help="Look at a virtual machine with Docker too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Look at nothing: print the last probe, to be sent on; no secret is in it."),
    ] = False,
) -> None:
    """Look at what Modal Runner assumes of GitHub and Modal, on your own accounts, line by line.

    Starts a few small sandboxes for a minute or two, which cost some cents; registers one runner and removes it; writes
    to no repository. What does not hold comes with what follows; what is unknown with what you can do. Your Modal token
    is given to two of the sandboxes, which run our script alone.

    Exit code 0: everything that was looked at holds, or the product has another way; 1: something does not and it has
    none; 2: the command or the settings are wrong.

    Examples:

    modal-runner probe --gpu T4 --docker

    modal-runner probe --report
    """
    log.configure(level=logging.CRITICAL)
    if report:
        _print_report()
        return
    wanted = Wanted(gpu=_gpu(gpu), docker=docker)
    if repo is not None and (repo.count("/") != 1 or not is_full_name(repo)):
        raise InputError(f"--repo {repo}: write owner/name")
    console = Console(stderr=as_json)
    found = asyncio.run(_probe(wanted, repo, console))
    if as_json:
        typer.echo(ascii_json(found))
    else:
        show(found, console)
    raise typer.Exit(1 if any(was_seen_now(each) for each in hopeless(found)) else 0)


async def _probe(wanted: Wanted, repo: str | None, console: Console) -> ProbeReport:
    settings, config = await deployed_settings()
    log.configure(settings.secrets(), level=logging.CRITICAL)
    parts = compose(settings, config, Clock())
    try:
        console.print(f"This costs about {as_money(Probe.cost_before(wanted))}, by list prices.", highlight=False)
        looking = Probe(settings, config, parts)
        found = await looking.run(wanted)
        if repo is None:
            return found
        # Before the job, for which nobody may press the button.
        show(found, Console(stderr=True))
        return await looking.add(found, await _watch_a_job(repo, wanted, settings, parts))
    finally:
        await parts.connection.close()


async def _watch_a_job(repo: str, wanted: Wanted, settings: Settings, parts: Parts) -> list[ProbeResult]:
    """Watch one job, show its timeline, and return what it has shown."""
    say = Console(stderr=True).print
    say(f"\nAdd this file to the default branch of {repo} as .github/workflows/{FILE}:\n", highlight=False)
    say(snippet(settings.runner_label[0], wanted.gpu), highlight=False, markup=False)
    page = f"{settings.host.web_url}/{repo}/actions/workflows/{FILE}"
    say(f"and press 'Run workflow' at {page}\n", highlight=False, soft_wrap=True)
    watch = JobProbe(parts.connection, parts.store, repo)
    timeline, seen = await watch.run(lambda text: say(text, highlight=False, markup=False))
    say(f"job {timeline.job_id}: {timeline.conclusion}, on {timeline.runner}", highlight=False, markup=False)
    for line in timeline.lines():
        say(line, highlight=False, markup=False)
    return seen


def _gpu(asked: str | None) -> Gpu | None:
    if asked is None:
        return None
    read = labels.KEYS["gpu"].read(asked.lower())
    if isinstance(read, Gpu):
        return read
    raise InputError(f"--gpu {asked}: {getattr(read, 'sentence', 'names no GPU of Modal')}")


def _print_report() -> None:
    kept = asyncio.run(_last())
    if kept is None:
        typer.echo("No probe was made yet: run `modal-runner probe`.", err=True)
        raise typer.Exit(1)
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept.at))
    whole = {"made": made, "versions": kept.versions, **json.loads(msgspec.json.encode(kept.report))}
    typer.echo(json.dumps(whole, indent=1))


async def _last() -> Probed | None:
    store = ModalDictStore(load_routing_settings().modal_app_name, create=False)
    return await last(store)

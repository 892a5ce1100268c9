"""`modal-runner explain`: what becomes of a job with these labels, of every job of a file, or of one at GitHub."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from github_app.cli.pages import job_page
from github_app.errors import InputError
from github_app.foreign_text import ascii_json, visible
from github_app.model import Action, JobEvent, RunFacts, Scope
from github_app.operations import runs_on as reading
from github_app.operations.explain import Explanation, in_words
from github_app.operations.explain import explain as explanation_of
from github_app.operations.runs_on import RunsOn
from github_app.routing.policy import is_full_name
from github_app.routing.profiles import workflow_file
from github_app.settings.load import load_config, load_routing_settings, settings_of
from github_app.settings.make_rules import caps_on, make_rules
from github_app.settings.toml_file import Config
from github_app.settings.variables import RoutingSettings

# What decides about jobs.
Decisive = tuple[RoutingSettings, Config]


def explain(
    runs_on: Annotated[
        str | None,
        typer.Argument(
            help="The job's runs-on: a label, a list as it stands in a workflow or in JSON, or a job's page."
        ),
    ] = None,
    *,
    repo: Annotated[str, typer.Option(help="The repository, owner/name.")] = "owner/repository",
    public: Annotated[bool, typer.Option("--public", help="The repository is public.")] = False,
    workflow: Annotated[
        str | None,
        typer.Option(help="The workflow's file, or its name. Without RUNS_ON: explain every job of this file."),
    ] = None,
    branch: Annotated[str | None, typer.Option(help="The branch.")] = None,
    event: Annotated[str, typer.Option(help="The event that started the run.")] = "push",
    fork: Annotated[bool, typer.Option("--fork", help="The code comes from a fork.")] = False,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="By the settings of the deployment's Modal Secret, not of this shell.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what becomes of a job: the route, the sandbox, its price and the most it can cost, or why it is refused.

    Reads settings as the App does, from the environment and modal-runner.toml, and needs no credentials and no network;
    with --deployed those of the deployment, with Modal's token. A job's page is looked up in the deployment's records,
    else at GitHub.

    Exit code 0: it runs; 1: it is refused or is not ours, or GitHub would give it no runner of ours (of a file: one is
    refused, or would wait so); 2: the settings or the labels cannot be read.

    Examples:

    modal-runner explain '\\[modal, "gpu:h100:2"]' --repo octo-org/train

    modal-runner explain --workflow .github/workflows/ci.yml
    """
    if repo.count("/") != 1 or not is_full_name(repo):
        raise InputError(f"--repo {repo}: write owner/name")
    if runs_on is None and workflow is None:
        raise InputError("give RUNS_ON, or --workflow FILE: see `modal-runner explain --help`")
    page = runs_on if job_page(runs_on or "") else None
    base = JobEvent(
        action=Action.QUEUED,
        job_id=1,
        run_id=1,
        run_attempt=1,
        job_name="job",
        labels=(),
        repository=repo,
        repository_id=1,
        private=not public,
        scope=Scope(repo.partition("/")[0]),
        installation_id=1,
        workflow=workflow,
        branch=branch,
        run=RunFacts(event, from_fork=fork, path=workflow_file(workflow) or ""),
    )
    if page is not None:
        # Only who asks Modal and GitHub pays for importing their SDKs.
        import asyncio

        from github_app.cli.job_pages import job_at

        # What is deployed is read with it.
        at = asyncio.run(job_at(page, None if deployed else _here()))
        base, decisive = at.event, at.decisive
        wanted = RunsOn(base.labels, warnings=_unknown(at.unknown))
    else:
        decisive = _deployed() if deployed else _here()
        if runs_on is None:
            _explain_file(Path(workflow or ""), base, decisive, as_json=as_json)
        wanted = reading.read(runs_on or "")
    for warning in wanted.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    event_of_job = msgspec.structs.replace(base, labels=wanted.labels)
    found = _capped(explanation_of(event_of_job, make_rules(*decisive), group=wanted.group), decisive)
    typer.echo(ascii_json(found) if as_json else visible(in_words(found), lines=True))
    raise typer.Exit(0 if found.decision == "run" else 1)


def _unknown(why: str | None) -> tuple[str, ...]:
    if why is None:
        return ()
    return (f"what started its run, and whether its code is a fork's, is not known, and decides here: {why}",)


def _capped(found: Explanation, by: Decisive) -> Explanation:
    """The same, with the caps that its runner comes under."""
    if found.sandbox is None:
        return found
    return msgspec.structs.replace(found, caps=caps_on(*by, found.profile))


def _explain_file(path: Path, base: JobEvent, by: Decisive, *, as_json: bool) -> None:
    # Only who reads a file pays for its parser.
    from github_app.demo.planned import jobs_of
    from github_app.operations.workflow_file import FileExplained, context, explained

    planned, warnings = jobs_of(path, context(base))
    rules = make_rules(*by)
    jobs = [
        explained(
            msgspec.structs.replace(base, job_name=each.name, labels=each.labels),
            each.group,
            each.undecided,
            rules,
            timeout_minutes=each.timeout_minutes,
            needs_docker=each.needs_docker,
        )
        for each in planned
    ]
    capped = [
        msgspec.structs.replace(each, explanation=_capped(each.explanation, by)) if each.explanation else each
        for each in jobs
    ]
    found = FileExplained(str(path), capped, warnings)
    for warning in found.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    if as_json:
        typer.echo(ascii_json(found))
    for job in () if as_json else found.jobs:
        told = in_words(job.explanation) if job.explanation else job.why or ""
        labels = f" ({', '.join(job.labels)})" if job.labels else ""
        typer.echo(visible(f"{job.job}{labels}\n{told}\n", lines=True))
    refused = any(job.explanation and job.explanation.decision in {"refuse", "wait"} for job in found.jobs)
    raise typer.Exit(1 if refused else 0)


def _deployed() -> Decisive:
    import asyncio

    from github_app.cli.source import stored_settings

    stored, config = asyncio.run(stored_settings(makes_app=False))
    return settings_of(stored), config


def _here() -> Decisive:
    settings = load_routing_settings()
    return settings, load_config(settings.modal_runner_config)

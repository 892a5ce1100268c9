"""`modal-runner explain`: what becomes of a job with these labels."""

import asyncio
from typing import Annotated

import msgspec
import typer

from github_app.cli.source import stored_settings
from github_app.errors import InputError
from github_app.foreign_text import ascii_json, visible
from github_app.model import Action, JobEvent, RunFacts, Scope
from github_app.operations.explain import Explanation
from github_app.operations.explain import explain as explanation_of
from github_app.routing.labels import meaningless
from github_app.routing.policy import is_full_name
from github_app.routing.profiles import workflow_file
from github_app.routing.units import as_size, as_time
from github_app.settings.load import load_config, load_routing_settings, settings_of
from github_app.settings.make_rules import make_rules
from github_app.settings.toml_file import Config
from github_app.settings.variables import RoutingSettings


def explain(
    runs_on: Annotated[str, typer.Argument(help="The job's runs-on: a label, or a JSON list of labels.")],
    *,
    repo: Annotated[str, typer.Option(help="The repository, owner/name.")] = "owner/repository",
    public: Annotated[bool, typer.Option("--public", help="The repository is public.")] = False,
    workflow: Annotated[str | None, typer.Option(help="The workflow's file, or its name.")] = None,
    branch: Annotated[str | None, typer.Option(help="The branch.")] = None,
    event: Annotated[str, typer.Option(help="The event that started the run.")] = "push",
    fork: Annotated[bool, typer.Option("--fork", help="The code comes from a fork.")] = False,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="By the settings of the deployment's Modal Secret, not of this shell.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what becomes of a job: the route, the sandbox and its price a minute, or why it is refused.

    Reads settings as the App does, from the environment and modal-runner.toml, and needs no credentials and no network;
    with --deployed those of the deployment, with Modal's token.

    Exit code 0: it runs; 1: it is refused or is not ours; 2: the settings or the labels cannot be read.

    Example: modal-runner explain '["self-hosted", "modal", "gpu:h100:2"]' --repo octo-org/train
    """
    settings, config = _of_the_deployment() if deployed else _here()
    rules = make_rules(settings, config)
    if repo.count("/") != 1 or not is_full_name(repo):
        raise InputError(f"--repo {repo}: write owner/name")
    job = JobEvent(
        action=Action.QUEUED,
        job_id=1,
        run_id=1,
        run_attempt=1,
        job_name="job",
        labels=_labels(runs_on),
        repository=repo,
        repository_id=1,
        private=not public,
        scope=Scope(repo.partition("/")[0]),
        installation_id=1,
        workflow=workflow,
        branch=branch,
        run=RunFacts(event, from_fork=fork, path=workflow_file(workflow) or ""),
    )
    found = explanation_of(job, rules)
    typer.echo(ascii_json(found) if as_json else visible(_in_words(found, job.labels, rules.labels), lines=True))
    raise typer.Exit(0 if found.decision == "run" else 1)


def _of_the_deployment() -> tuple[RoutingSettings, Config]:
    stored, config = asyncio.run(stored_settings(makes_app=False))
    return settings_of(stored), config


def _here() -> tuple[RoutingSettings, Config]:
    settings = load_routing_settings()
    return settings, load_config(settings.modal_runner_config)


def _labels(runs_on: str) -> tuple[str, ...]:
    text = runs_on.strip()
    if not text.startswith(("[", '"')):
        if not text or any(character in text for character in '{}[],"'):
            raise InputError(f'runs-on {runs_on!r}: write one label, or a JSON list: \'["modal", "gpu:h100"]\'')
        return (text,)
    try:
        found = msgspec.json.decode(text, type=list[str] | str)
    except msgspec.DecodeError as error:
        raise InputError(f"runs-on: no JSON list of labels, each in double quotes ({error})") from None
    return (found,) if isinstance(found, str) else tuple(found)


def _in_words(found: Explanation, labels: tuple[str, ...], ours: tuple[str, ...]) -> str:
    others = meaningless(labels, ours)
    note = [f"say nothing about the machine, and are registered as they are: {', '.join(others)}"] if others else []
    if found.sandbox is None:
        return "\n".join([f"{found.decision}: {found.reason}", *note])
    gpu, network = found.sandbox["gpu"], found.sandbox["network"]
    reach = f"{len(network['domains'])} domains, {len(network['cidrs'])} ranges"
    told = {
        "route": found.route or "none",
        "profile": found.profile or "none",
        "gpu": f"{gpu['type']} x{gpu['count']}" if gpu else "none",
        "cpu": f"{found.sandbox['cpu']:g} vCPU",
        "memory": as_size(found.sandbox["memory_mib"]),
        "timeout": f"{as_time(found.sandbox['timeout_s'])} (the job's, 5 minutes to be picked up, 10 to end)",
        "region": found.sandbox["region"] or "any",
        "image": found.sandbox["image"],
        "network": network["mode"] + ("" if network["mode"] == "open" else f" ({reach})"),
        "volumes": ", ".join(f"{path}: {name}" for path, name in found.sandbox["volumes"].items()) or "none",
        "docker": "yes" if found.sandbox["docker"] else "no",
        "runtime": found.sandbox["runtime"],
        "price": f"${found.price_usd_per_minute:.4f} a minute; Modal bills what is used beyond that",
    }
    return "\n".join(["run", *(f"  {name:<8} {value}" for name, value in told.items()), *note])

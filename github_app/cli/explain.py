"""`modal-runner explain`: what becomes of a job with these labels."""

from typing import Annotated

import msgspec
import typer

from github_app.config import load_config, make_rules
from github_app.errors import InputError
from github_app.explain import Explanation
from github_app.explain import explain as explanation_of
from github_app.model import Action, JobEvent, RunFacts, Scope
from github_app.policy import is_full_name
from github_app.settings import load_routing_settings


def explain(
    runs_on: Annotated[str, typer.Argument(help="The job's runs-on: a label, or a JSON list of labels.")],
    *,
    repo: Annotated[str, typer.Option(help="The repository, owner/name.")] = "owner/repository",
    public: Annotated[bool, typer.Option("--public", help="The repository is public.")] = False,
    workflow: Annotated[str | None, typer.Option(help="The workflow's name.")] = None,
    branch: Annotated[str | None, typer.Option(help="The branch.")] = None,
    event: Annotated[str, typer.Option(help="The event that started the run.")] = "push",
    fork: Annotated[bool, typer.Option("--fork", help="The code comes from a fork.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what becomes of a job: the route, the sandbox and its price a minute, or why it is refused.

    Reads the same settings and modal-runner.toml as the App; needs no credentials and no network.

    Exit code 0: it runs; 1: it is refused or is not ours; 2: the settings or the labels cannot be read.

    Example: modal-runner explain '["self-hosted", "modal", "gpu:h100:2"]' --repo octo-org/train
    """
    settings = load_routing_settings()
    rules = make_rules(settings, load_config(settings.modal_runner_config))
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
        run=RunFacts(event, from_fork=fork),
    )
    found = explanation_of(job, rules)
    typer.echo(msgspec.json.encode(found).decode() if as_json else _in_words(found))
    raise typer.Exit(0 if found.decision == "run" else 1)


def _labels(runs_on: str) -> tuple[str, ...]:
    if not runs_on.lstrip().startswith(("[", '"')):
        return (runs_on,)
    try:
        return (
            msgspec.json.decode(runs_on, type=tuple[str, ...] | str)
            if runs_on.lstrip()[0] == "["
            else (msgspec.json.decode(runs_on, type=str),)
        )
    except msgspec.DecodeError as error:
        raise InputError(f"runs-on: no JSON list of labels ({error})") from None


def _in_words(found: Explanation) -> str:
    if found.sandbox is None:
        return f"{found.decision}: {found.reason}"
    lines = [f"run, by {'route ' + found.route if found.route else 'no route'}, profile {found.profile or 'none'}"]
    lines += [f"  {name:<12} {value}" for name, value in found.sandbox.items()]
    lines.append(
        f"  {'price':<12} ${found.price_usd_per_minute:.4f} a minute at least (Modal bills what is used beyond)"
    )
    return "\n".join(lines)

"""The commands, and how a mistake ends: in a sentence and an exit code, never in a stack trace.

Exit codes: 0 all is well; 1 what was asked for did not come true; 2 the command or the settings are wrong.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from github_app.errors import ConfigError, InputError, ModalRunnerError
from github_app.foreign_text import visible
from github_app.modal_wait import first_answer
from github_app.start_up import uncollected

# Each command lies in a module of its name, and is imported when it is run: together they take a second. What is said
# of each here is the first sentence of its own help.
COMMANDS: dict[str, dict[str, str]] = {
    "A deployment on Modal": {
        "setup": "Register the GitHub App with one button, deploy it on Modal, and install it.",
        "doctor": "Check everything that a job needs, from Modal's token to the runner group. Changes nothing.",
        "probe": "Look at what Modal Runner assumes of GitHub and Modal, on your own accounts, line by line.",
        "status": "Show jobs, what they wait for, runners, caps and refusals, as recorded on Modal. Needs Modal's "
        "token alone.",
        "jobs": "List jobs, those that are over too: how long each waited and ran, on what, and about what it cost.",
        "cost": "Sum what jobs have cost by repository, workflow, machine or day: an estimate by Modal's list prices.",
        "why": "Say why a job waits: the whole chain from its delivery to its runner, and the first link that is not "
        "right.",
        "logs": "Print the end of what a runner printed on its console, also after it has ended. Needs Modal's token "
        "alone.",
        "shell": "Open a shell in the running sandbox of a job, as its user and in its folder. Needs Modal's token "
        "alone.",
        "retry": "Start runners for a queued job again, whatever failed before. Needs Modal's token alone.",
        "launching": "Stop starting runners, or let it go on. Needs Modal's token alone.",
        "redeploy": "Deploy again: with GitHub's newest actions/runner, its checksum, changed settings, and the code "
        "that lies here.",
        "rotate-secret": "Change the webhook's secret, or the App's private key, in the Modal Secret and at GitHub.",
        "uninstall": "End every sandbox, deregister the runners, and remove what stands on Modal: functions, records, "
        "Secret.",
    },
    "Further": {
        "explain": "Say what becomes of a job: the route, the sandbox, its price and the most it can cost, or why it "
        "is refused.",
        "sweep": "Compare jobs, runners and sandboxes once, and repair what differs. Safe beside a running App.",
        "runner-version": "Print RUNNER_VERSION and RUNNER_SHA256 as GitHub has them now, to put into the settings "
        "before a deploy.",
        "serve": "Serve GitHub's webhooks outside Modal.",
        "config": "Check and show modal-runner.toml and the settings.",
    },
    "On this machine, with no account": {
        "demo": "Run a workflow through the production app, a simulated GitHub and a simulated Modal, on this machine.",
        "simulate": "Run the production app, GitHub and Modal in one process, on a clock that jumps: one seed, one "
        "history.",
        "soak": "Run the production app against simulators in which things go wrong, and count what became of each "
        "job.",
    },
}
# No command says later than this that Modal is out of reach.
_FIRST_ANSWER_S = 10.0


def application(run: str | None) -> typer.Typer:
    """The command line, in which the command `run` is there to be run, and the others to be listed; None: all are."""
    app = typer.Typer(
        name="modal-runner",
        help="GitHub Actions jobs in Modal Sandboxes, one fresh sandbox a job.\n\n"
        "Begin with: modal-runner setup --org ORG",
        epilog="Exit codes: 0 all is well; 1 what was asked for did not come true; 2 the command or the settings are "
        "wrong; 130 Ctrl-C.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for panel, commands in COMMANDS.items():
        for name, summary in commands.items():
            _add(app, name, summary, panel, real=run in {None, name})
    return app


def _add(app: typer.Typer, name: str, summary: str, panel: str, *, real: bool) -> None:
    if not real:
        app.command(name, help=summary, rich_help_panel=panel)(_listed)
        return
    attribute = name.replace("-", "_")
    found: Callable[..., None] | typer.Typer = getattr(import_module(f"github_app.cli.{attribute}"), attribute)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name, rich_help_panel=panel)
    else:
        app.command(name, rich_help_panel=panel)(found)


def _listed() -> None:
    """Stands for a command that is not run."""


def _show_version(value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value:
        from importlib.metadata import version

        typer.echo(version("modal-runner"))
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    first_answer.within(_FIRST_ANSWER_S)
    try:
        completes = "_MODAL_RUNNER_COMPLETE" in os.environ
        run = None if completes else next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        with uncollected():
            app = application(run)
        app()
    except ModalRunnerError as error:
        print(f"modal-runner: {visible(str(error), lines=True)}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, ConfigError | InputError) else 1)
    except BrokenPipeError:
        # Whoever read this has seen enough (Python's docs, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)

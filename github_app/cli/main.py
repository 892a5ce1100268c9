"""The commands, and how a mistake ends: in a sentence and an exit code, never in a stack trace.

Exit codes: 0 all is well; 1 what was asked for did not come true; 2 the command or the settings are wrong.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from github_app.cli.config import config
from github_app.cli.demo import demo
from github_app.cli.doctor import doctor
from github_app.cli.explain import explain
from github_app.cli.logs import logs
from github_app.cli.probe import probe
from github_app.cli.redeploy import redeploy
from github_app.cli.retry import retry
from github_app.cli.rotate_secret import rotate_secret
from github_app.cli.runner_version import runner_version
from github_app.cli.serve import serve
from github_app.cli.setup import setup
from github_app.cli.simulate import simulate
from github_app.cli.soak import soak
from github_app.cli.status import status
from github_app.cli.sweep import sweep
from github_app.cli.uninstall import uninstall
from github_app.cli.why import why
from github_app.errors import ConfigError, InputError, ModalRunnerError
from github_app.foreign_text import visible
from github_app.modal_errors import first_answer

app = typer.Typer(
    name="modal-runner",
    help="GitHub Actions jobs in Modal Sandboxes, one fresh sandbox a job.\n\nBegin with: modal-runner setup --org ORG",
    epilog="Exit codes: 0 all is well; 1 what was asked for did not come true; 2 the command or the settings are "
    "wrong; 130 Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "A deployment on Modal": (setup, doctor, probe, status, why, logs, retry, redeploy, rotate_secret, uninstall),
    "Further": (explain, sweep, runner_version, serve),
    "On this machine, with no account": (demo, simulate, soak),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(config, name="config", rich_help_panel="Further")


# No command says later than this that Modal is out of reach.
_FIRST_ANSWER_S = 10.0


def _show_version(value: bool) -> None:  # noqa: FBT001 - as typer calls it
    if value:
        typer.echo(version("modal-runner"))
        raise typer.Exit


@app.callback()
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
        app()
    except ModalRunnerError as error:
        print(f"modal-runner: {visible(str(error), lines=True)}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, ConfigError | InputError) else 1)
    except KeyboardInterrupt:
        print("modal-runner: stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)

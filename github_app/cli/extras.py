"""What of the demo's own packages is missing, told before anything is begun."""

from importlib.util import find_spec

from github_app.errors import InputError

_WANTED = ("jq",)


def needs_demo(command: str) -> None:
    """See that the extra `demo` is installed.

    Raises:
        InputError: it is not; with what installs it.
    """
    missing = next((name for name in _WANTED if find_spec(name) is None), None)
    if missing is not None:
        raise InputError(f"{command} needs {missing}; install it with: pip install 'modal-runner[demo]'")

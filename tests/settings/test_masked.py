"""The administrator's file as it may be shown: no value of a variable is left, however it is written."""

import tomllib

import pytest

from github_app.settings.masked import MASK, CannotMaskError, masked

_CANARY = "canary-SECRET"


@pytest.mark.parametrize(
    "text",
    [
        f'[defaults.env]\nA = "{_CANARY}"\n',
        f'[profiles.a]\nsecret_env = {{ A = "{_CANARY}", B = "x" }}\n',
        f'[profiles.a]\nenv.A = "{_CANARY}"\n',
        f'[profiles]\na = {{ gpu = "h100", env = {{ A = "{_CANARY}" }} }}\n',
        f'[profiles."q.x"."env"]\n"A B" = "{_CANARY}"\n',
        f'[defaults."\\u0065nv"]\nA = "{_CANARY}"\n',
        f'[profiles.a]\nsecret_env = {{ A = """\n#{_CANARY}""" }}\n',
        f"[profiles.a]\nsecret_env = {{ A = '''\nx = \"{_CANARY}\" #''' }}\n",
        f'[defaults.env]\nA = """x\\"""\n# {_CANARY}"""\n',
        f'[defaults.env]\nA = "first\u2028#{_CANARY}"\n',
        f'[defaults.env]\nA = ["""\n#{_CANARY}"""]\n',
        f'[profiles.a.secret_env]\n# A = "{_CANARY}"\nB = "x"\n',
        f'# secret_env = {{ A = "{_CANARY}" }}\n[limits]\ncpu = 1\n',
        f'[defaults.env]\r\nA = "{_CANARY}"\r\n[limits]\r\ncpu = 1\r\n',
        f'[defaults.env]\nA = "{_CANARY}"\n[networks.x]\ndomains = ["{_CANARY}.example"]\n',
    ],
)
def test_no_value_of_a_variable_is_left(text: str) -> None:
    try:
        shown = masked(text)
    except CannotMaskError:
        return
    assert _CANARY not in shown
    assert _CANARY.split("-")[1] not in shown
    tomllib.loads(shown)


def test_all_else_is_shown_as_it_is() -> None:
    text = '# of ours\n[limits]\ncpu = 2  # few\n[[routes]]\nname = "a"\nrefuse = """\n[defaults.env]\nA = "b"\n"""\n'

    assert masked(text) == text
    assert masked("") == ""
    assert (
        masked('[defaults.env]\nA = "x"\n[limits]\ncpu = 1\n') == f'[defaults.env]\nA = "{MASK}"\n[limits]\ncpu = 1\n'
    )


@pytest.mark.parametrize("text", ["[a]\nx = " + "[" * 3000 + "]" * 3000, "[" + " " * 5000 + "#", 'a = "', "[[["])
def test_what_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(CannotMaskError):
        masked(text)

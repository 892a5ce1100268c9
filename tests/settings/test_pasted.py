"""Settings take what people paste, or say what to write instead."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from github_app.errors import ConfigError
from github_app.settings.load import load_all, load_routing_settings, load_settings, parse_config
from github_app.settings.make_rules import warnings
from github_app.settings.toml_file import Config

Environment = pytest.MonkeyPatch


def _problem() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    [problem] = caught.value.problems
    return problem


PASTES: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "with blanks around": lambda pem: f"\n  {pem}  \n",
    "in quotes": lambda pem: f'"{pem}"',
    "escaped": lambda pem: pem.replace("\n", "\\n"),
    "escaped as on Windows": lambda pem: pem.replace("\n", "\\r\\n"),
    "with the line ends of Windows": lambda pem: pem.replace("\n", "\r\n"),
    "in one line": lambda pem: pem.replace("\n", " "),
    "base64": lambda pem: base64.b64encode(pem.encode()).decode(),
    "base64 without padding": lambda pem: base64.b64encode((pem + "\n").encode()).decode().rstrip("="),
    "base64 of escaped": lambda pem: base64.b64encode(pem.replace("\n", "\\n").encode()).decode(),
    "with a byte order mark": lambda pem: f"\ufeff{pem}",
    "base64 in lines": lambda pem: base64.encodebytes(pem.encode()).decode(),
}


@pytest.mark.parametrize("how", PASTES)
@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_key_may_be_pasted_in_any_form(
    settings_environment: Environment, pem: str, private_key: RSAPrivateKey, tmp_path: Path, how: str, where: str
) -> None:
    text = PASTES[how](pem)
    if where == "file":
        (tmp_path / "app.pem").write_text(text)
        settings_environment.delenv("GITHUB_PRIVATE_KEY")
        settings_environment.setenv("HOME", str(tmp_path))
        settings_environment.setenv("GITHUB_PRIVATE_KEY_PATH", "~/app.pem")
    else:
        settings_environment.setenv("GITHUB_PRIVATE_KEY", text)

    assert load_settings().private_key.private_numbers() == private_key.private_numbers()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GITHUB_PRIVATE_KEY", "~/keys/app.pem", "give it as GITHUB_PRIVATE_KEY_PATH"),
        ("GITHUB_PRIVATE_KEY", "canary", "the key does not parse"),
        ("GITHUB_APP_ID", "Iv23liCANARYcanary0011", "that is the App's client id"),
        ("GITHUB_APP_ID", "Iv1.0123456789abcdef", "that is the App's client id"),
        ("GITHUB_ENTERPRISE_DOMAIN", "github.com", "that is GitHub.com, for which this stays unset"),
        ("GITHUB_ENTERPRISE_DOMAIN", "api.github.com", "that is GitHub.com"),
        ("GITHUB_ENTERPRISE_DOMAIN", "api.octo.ghe.com", "without 'api.'"),
        ("GITHUB_ENTERPRISE_DOMAIN", "https://ghe.example.com", "without https://"),
        ("GITHUB_ENTERPRISE_DOMAIN", "ghe.example.com/org", "without a path"),
        ("GITHUB_ENTERPRISE_DOMAIN", "github.com:443", "that is GitHub.com"),
        ("GITHUB_ENTERPRISE_DOMAIN", "raw.githubusercontent.com", "that is GitHub.com"),
        ("GITHUB_ENTERPRISE_DOMAIN", "gist.github.com", "that is GitHub.com"),
        ("GITHUB_ENTERPRISE_DOMAIN", "ghe.com", "SUBDOMAIN.ghe.com"),
        ("RUNNER_LABEL", "modal;gpu-box", "no blanks, quotes or semicolons"),
        ("RUNNER_LABEL", "modal gpu-box", "no blanks, quotes or semicolons"),
        ("RUNNER_LABEL", "'modal'", "no blanks, quotes or semicolons"),
        ("RUNNER_LABEL", "modal/gpu=h100", "neither '/' nor ':'"),
        ("RUNNER_LABEL", '["modal", 3]', "no list of names"),
    ],
)
def test_what_belongs_elsewhere_is_told_and_not_quoted(
    settings_environment: Environment, name: str, value: str, words: str
) -> None:
    settings_environment.setenv(name, value)
    problem = _problem()

    assert problem.startswith(f"{name}: ")
    assert words in problem
    assert "canary" not in problem.lower().removeprefix(name.lower())


@pytest.mark.parametrize("written", ['["modal", "gpu-box"]', "modal, gpu-box", '[\n"modal",\n"gpu-box"]'])
def test_runner_label_is_a_list_in_json_or_with_commas(settings_environment: Environment, written: str) -> None:
    settings_environment.setenv("RUNNER_LABEL", written)

    assert load_routing_settings().runner_label == ("modal", "gpu-box")


@pytest.mark.parametrize("label", ["self-hosted", "Linux", "arm64", "ubuntu-latest", "ubuntu-24.04", "x64"])
def test_a_word_of_githubs_own_as_runner_label_is_warned_of(settings_environment: Environment, label: str) -> None:
    settings_environment.setenv("RUNNER_LABEL", f"modal,{label}")
    found = warnings(load_routing_settings(), Config())

    assert any(f"RUNNER_LABEL: {label!r} is a word of GitHub's own" in warning for warning in found)
    assert not any("'modal'" in warning for warning in found)


def test_blanks_around_a_secret_are_left_out_and_that_is_said(settings_environment: Environment) -> None:
    settings_environment.setenv("WEBHOOK_SECRET", " canary-webhook-secret\n")
    settings_environment.setenv("GITHUB_CLIENT_SECRET", "x1234567890\r\n")
    settings = load_settings()
    found = warnings(settings, Config())

    assert settings.webhook_secret.get_secret_value() == "canary-webhook-secret"
    assert settings.github_client_secret is not None
    assert settings.github_client_secret.get_secret_value() == "x1234567890"
    told = [warning for warning in found if "blanks or line ends around it" in warning]
    assert [warning.partition(":")[0] for warning in told] == ["WEBHOOK_SECRET", "GITHUB_CLIENT_SECRET"]
    assert "canary" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("RUNNER_VERSION", " v2.400.1\n", "2.400.1"),
        ("RUNNER_SHA256", "AB" * 32, "ab" * 32),
        ("MODAL_APP_NAME", " my-runner ", "my-runner"),
        ("MODAL_REGION", "US-East ", "us-east"),
        ("CACHE_VOLUME_NAME", "cache ", "cache"),
        ("GITHUB_ENTERPRISE_DOMAIN", " GHE.example.com ", "GHE.example.com"),
    ],
)
def test_what_is_meant_is_read(settings_environment: Environment, name: str, value: str, read: str) -> None:
    settings_environment.setenv(name, value)

    assert getattr(load_routing_settings(), name.lower()) == read


def test_a_variable_for_sandboxes_keeps_its_blanks(settings_environment: Environment) -> None:
    settings_environment.setenv("SANDBOX_EXTRA_ENV", '{"INDENT": "  "}')

    assert load_routing_settings().sandbox_extra_env["INDENT"].get_secret_value() == "  "


def test_a_file_may_be_named_below_the_home_directory(settings_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[labels]\npass = ["gpu-team"]\n')
    settings_environment.setenv("HOME", str(tmp_path))
    settings_environment.setenv("MODAL_RUNNER_CONFIG", " ~/mine.toml\n")

    assert load_all()[1].labels.pass_ == ("gpu-team",)


def test_a_home_that_nobody_has_is_a_file_that_cannot_be_read(settings_environment: Environment) -> None:
    settings_environment.delenv("GITHUB_PRIVATE_KEY")
    settings_environment.setenv("GITHUB_PRIVATE_KEY_PATH", "~nobody-of-this-name/app.pem")

    assert "GITHUB_PRIVATE_KEY_PATH cannot be read" in _problem()


def test_labels_that_pass_stand_in_the_file() -> None:
    assert parse_config('[labels]\npass = ["gpu-team"]\n').labels.pass_ == ("gpu-team",)

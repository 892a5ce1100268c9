"""Reading the settings: every problem at once, in words, and no value in any of them."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from github_app.errors import ConfigError
from github_app.settings.load import load_settings
from github_app.settings.variables import Settings

Environment = pytest.MonkeyPatch


def problems() -> tuple[str, ...]:
    """What is wrong with the environment."""
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return caught.value.problems


def test_the_least_settings_are_enough(settings_environment: Environment, private_key: RSAPrivateKey) -> None:
    settings = load_settings()

    assert settings.private_key.private_numbers() == private_key.private_numbers()
    assert (settings.runner_label, settings.runner_group_id) == (("modal",), None)


def test_every_problem_is_listed_at_once(settings_environment: Environment) -> None:
    for name in ("WEBHOOK_SECRET", "GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"):
        settings_environment.delenv(name)
    settings_environment.setenv("RUNNER_GROUP_ID", "many")
    settings_environment.setenv("GITHUB_API_URL", "not a url")
    settings_environment.setenv("RUNNER_VERSION", "latest")
    settings_environment.setenv("GITHUB_ENTERPRISE_DOMAIN", "https://ghe.example")
    found = problems()

    assert {problem.partition(":")[0] for problem in found} >= {
        "WEBHOOK_SECRET",
        "GITHUB_APP_ID",
        "GITHUB_PRIVATE_KEY",
        "RUNNER_GROUP_ID",
        "GITHUB_API_URL",
        "RUNNER_VERSION",
        "GITHUB_ENTERPRISE_DOMAIN",
    }


def test_the_message_holds_a_line_for_each_problem(settings_environment: Environment) -> None:
    settings_environment.delenv("WEBHOOK_SECRET")
    settings_environment.setenv("GITHUB_APP_ID", "-1")
    with pytest.raises(ConfigError) as caught:
        load_settings()

    assert str(caught.value).splitlines()[1:] == [f"  - {problem}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_APP_ID", "0"),
        ("GITHUB_APP_ID", "canary"),
        ("RUNNER_GROUP_ID", "0"),
        ("RUNNER_VERSION", "2.336"),
        ("MODAL_APP_NAME", "canary canary"),
        ("GITHUB_API_URL", "ftp://canary"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable_and_not_quoted(
    settings_environment: Environment, name: str, value: str
) -> None:
    settings_environment.setenv(name, value)
    [problem] = problems()

    assert problem.startswith(f"{name}: ")
    assert "canary" not in problem


def test_an_empty_variable_is_as_good_as_none(settings_environment: Environment) -> None:
    settings_environment.setenv("RUNNER_GROUP_ID", "")
    settings_environment.setenv("GITHUB_API_URL", "")
    assert load_settings().runner_group_id is None

    settings_environment.setenv("WEBHOOK_SECRET", "")
    assert problems()[0].startswith("WEBHOOK_SECRET: missing")


# The key


def test_line_ends_of_the_key_may_be_written_as_backslash_n(
    settings_environment: Environment, pem: str, private_key: RSAPrivateKey
) -> None:
    settings_environment.setenv("GITHUB_PRIVATE_KEY", pem.replace("\n", "\\n"))

    assert load_settings().private_key.private_numbers() == private_key.private_numbers()


def test_the_key_may_be_in_a_file(
    settings_environment: Environment, tmp_path: Path, pem: str, private_key: RSAPrivateKey
) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem)
    settings_environment.delenv("GITHUB_PRIVATE_KEY")
    settings_environment.setenv("GITHUB_PRIVATE_KEY_PATH", str(file))

    assert load_settings().private_key.private_numbers() == private_key.private_numbers()


def test_a_key_file_that_cannot_be_read_is_told(settings_environment: Environment, tmp_path: Path) -> None:
    settings_environment.delenv("GITHUB_PRIVATE_KEY")
    settings_environment.setenv("GITHUB_PRIVATE_KEY_PATH", str(tmp_path / "none.pem"))
    [problem] = problems()

    assert "GITHUB_PRIVATE_KEY_PATH" in problem
    assert "cannot be read" in problem


def test_no_key_at_all_names_both_ways_to_give_one(settings_environment: Environment) -> None:
    settings_environment.delenv("GITHUB_PRIVATE_KEY")
    [problem] = problems()

    assert problem.startswith("GITHUB_PRIVATE_KEY: missing")
    assert "GITHUB_PRIVATE_KEY_PATH" in problem


def test_an_encrypted_key_is_told(settings_environment: Environment, private_key: RSAPrivateKey) -> None:
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        lock = serialization.BestAvailableEncryption(b"canary-password")
        locked = private_key.private_bytes(serialization.Encoding.PEM, form, lock)
        settings_environment.setenv("GITHUB_PRIVATE_KEY", locked.decode())

        assert "the key is encrypted" in problems()[0]


def test_a_key_of_another_kind_is_told(settings_environment: Environment) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    settings_environment.setenv("GITHUB_PRIVATE_KEY", key.decode())

    assert "not an RSA key" in problems()[0]


@pytest.mark.parametrize(
    "key",
    [
        "canary",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "canary \u00fc \U0001f511",
    ],
)
def test_a_key_that_is_none_is_told_and_not_quoted(settings_environment: Environment, key: str) -> None:
    settings_environment.setenv("GITHUB_PRIVATE_KEY", key)
    [problem] = problems()

    assert problem.startswith("GITHUB_PRIVATE_KEY: the key does not parse")
    assert "canary" not in problem


def test_a_public_key_is_no_key(settings_environment: Environment, private_key: RSAPrivateKey) -> None:
    public = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    settings_environment.setenv("GITHUB_PRIVATE_KEY", public.decode())

    assert "GITHUB_PRIVATE_KEY" in problems()[0]


# Hosts


@pytest.mark.parametrize(
    ("domain", "override", "url"),
    [
        (None, None, "https://api.github.com"),
        ("ghe.example.com", None, "https://ghe.example.com/api/v3"),
        ("ghe.example.com:8443", None, "https://ghe.example.com:8443/api/v3"),
        ("octo.ghe.com", None, "https://api.octo.ghe.com"),
        ("Octo.GHE.com", None, "https://api.Octo.GHE.com"),
        ("notghe.com", None, "https://notghe.com/api/v3"),
        (None, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (None, "http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("ghe.example.com", "https://proxy.example/github/api/v3/", "https://proxy.example/github/api/v3"),
    ],
)
def test_the_base_of_the_api_follows_the_domain_unless_it_is_given(
    settings_environment: Environment, domain: str | None, override: str | None, url: str
) -> None:
    if domain:
        settings_environment.setenv("GITHUB_ENTERPRISE_DOMAIN", domain)
    if override:
        settings_environment.setenv("GITHUB_API_URL", override)

    assert load_settings().host.api_url == url


# Secrets


def test_no_repr_and_no_text_of_the_settings_shows_a_secret(settings_environment: Environment, pem: str) -> None:
    settings_environment.setenv("GITHUB_CLIENT_SECRET", "canary-client-secret")
    settings = load_settings()
    shown = repr(settings) + str(settings) + str(settings.model_dump()) + settings.model_dump_json()

    assert "canary" not in shown
    assert not [line for line in pem.splitlines()[1:-1] if line in shown]


def test_every_secret_is_known_to_the_redaction(settings_environment: Environment, pem: str) -> None:
    settings_environment.setenv("GITHUB_CLIENT_SECRET", "canary-client-secret")

    assert set(load_settings().secrets()) >= {"canary-webhook-secret", "canary-client-secret", pem}


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []

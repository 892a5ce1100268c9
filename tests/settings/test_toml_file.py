"""The administrator's file: what is wrong is told with its line; what is right makes the rules."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.errors import ConfigError
from github_app.settings.load import load_all, load_routing_settings, parse_config
from github_app.settings.make_rules import make_rules, refuse_unsound, unbounded, warnings
from tests.worlds.records import routing_settings


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.toml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[defaults]\ncpu = 4\nmemmory = '8g'\n", 3, "there is no such key"),
        ("[defaults]\n\nmemory = 'lots'\n", 3, "no size"),
        ("[profiles.a]\ngpu = 'h100'\n[profiles.b]\ngpu = 'h1000'\n", 4, "Nearest: 'gpu:h100'"),
        ("[[routes]]\nname = 'a'\nprofile = 'p'\n[[routes]]\nname = 'b'\nprofile = 'q'\n[profiles.p]\n", 6, "'q'"),
        ("[[routes]]\nname = 'a'\n", 1, "either a profile or a sentence"),
        ("[networks.x]\ndomains = ['https://example.com']\n", 2, "no domain"),
        ("[networks.x]\ncidrs = ['10.0.0.1/8']\n", 2, "write 10.0.0.0/8"),
        ("[networks.open]\n", 1, "a meaning of its own"),
        ("[defaults]\nnetwork = 'nowhere'\n", 2, "'nowhere'"),
        ("[defaults]\nregion = 'mars'\n", 2, "no region of Modal"),
        ("[defaults]\ntimeout = '25h'\n", 2, "24 hours"),
        ("[profiles.a]\nmax_concurrent = 0\n", 2, "greater than 0"),
        ("[defaults\n", 1, ""),
        ("[limits]\nnetworks = ['nowhere']\n", 2, "'nowhere'"),
        ("[defaults]\nmax_concurrent = 3\n", 2, "belongs to a profile"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, words: str) -> None:
    (problem, *_) = problems(text)

    assert problem.startswith(f"f.toml:{line}:") or f"line {line}" in problem
    assert words in problem


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        "[defaults]\ncpu = -1\nmemory = 'x'\n[profiles.a]\nregion = 'mars'\nimage = 'none'\nnetwork = 'none'\n"
        "[[routes]]\nname = 'r'\nprofile = 'none'\nlabels = 'gpu:*'\n"
    )

    assert sorted(int(problem.split(":")[1]) for problem in found) == [2, 3, 5, 6, 7, 10, 11]


def test_more_domains_than_modal_takes_are_refused() -> None:
    names = ", ".join(f"'a{number}.example.com'" for number in range(95))

    assert "more than 100 domains" in problems(f"[networks.x]\ndomains = [{names}]\n")[0]


@given(st.text(max_size=200))
def test_whatever_the_file_holds_there_is_an_answer(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_config(text)


def test_the_example_in_the_docs_is_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "modal-runner.example.toml").read_text(encoding="utf-8")
    rules = make_rules(routing_settings(), parse_config(text))

    assert rules.routes
    assert rules.profiles


def test_what_may_not_be_meant_is_warned_of() -> None:
    settings = routing_settings(allowed_cidrs=("10.0.0.0/8",))
    config = parse_config("[profiles.a]\nsecrets = ['s']\n[cache]\nshared = true\n[defaults]\ncache = 'c'\n")
    found = warnings(settings, config)

    assert any("cannot reach the private range 10.0.0.0/8" in each for each in found)
    assert any("profiles.a" in each and "runner_group = ID" in each for each in found)
    assert any("cache.shared" in each for each in found)


@pytest.mark.parametrize(
    ("profile", "settings", "rests"),
    [
        ("secrets = ['s']", {}, False),
        ("secret_env = {A = 'x'}", {}, False),
        ("volumes = {'/data' = 'd'}", {}, False),
        ("env = {A = 'x'}", {}, True),
        ("secrets = ['s']\ntrust = 'labels'", {}, True),
        ("secrets = ['s']\ntrust = 'repository'", {}, True),
        ("secrets = ['s']\nrunner_group = 7", {}, True),
        ("secrets = ['s']", {"runner_group_id": 7}, True),
    ],
)
def test_secrets_rest_on_a_boundary_or_are_refused(profile: str, settings: dict[str, Any], rests: bool) -> None:
    config, given = parse_config(f"[profiles.a]\n{profile}\n"), routing_settings(**settings)

    assert (not unbounded(given, config)) is rests
    if not rests:
        with pytest.raises(ConfigError, match=r"profiles\.a: .*runner_group = ID"):
            refuse_unsound(given, config)
        assert any("kept back" in each for each in warnings(given, config))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALLOWED_CIDRS", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("ALLOWED_CIDRS", "everything", "no range"),
        ("ALLOWED_CIDRS", "fe80::/10", "IPv4"),
        ("ALLOWED_CIDRS", "[1]", "no list of ranges"),
        ("SANDBOX_EXTRA_ENV", "{not json", "no JSON"),
        ("SANDBOX_EXTRA_ENV", '{"A": 1}', "object of strings"),
        ("SANDBOX_EXTRA_ENV", "1A=b", "part 1 is not NAME=value"),
        ("SANDBOX_EXTRA_ENV", "A=b,canary!x", "part 2 is not NAME=value"),
        ("SANDBOX_EXTRA_ENV", "A=b,canary", "part 2 has no '='"),
        ("MODAL_REGION", "us-eastern", "Nearest: us-east"),
        ("MAX_CONCURRENT_PER_REPO", "-1", "greater than 0"),
        ("BLOCK_NETWORK", "perhaps", "boolean"),
        ("CACHE_VOLUME_NAME", "a/b", "match"),
        ("RUNNER_LABEL", "modal:x", "neither '/' nor ':'"),
        ("RUNNER_SHA256", "abc", "match"),
    ],
)
def test_a_bad_value_stops_the_start_and_says_why(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_routing_settings()

    assert caught.value.problems[0].startswith(name)
    assert words in caught.value.problems[0]
    assert "canary" not in caught.value.problems[0]


def test_what_is_wrong_with_the_environment_and_with_the_file_is_told_together(
    settings_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "f.toml").write_text("[defaults]\nmemory = 'x'\n")
    settings_environment.setenv("MODAL_RUNNER_CONFIG", str(tmp_path / "f.toml"))
    settings_environment.setenv("MAX_CONCURRENT", "-1")
    settings_environment.delenv("WEBHOOK_SECRET")
    with pytest.raises(ConfigError) as caught:
        load_all()

    told = " ".join(caught.value.problems)
    assert all(words in told for words in ("WEBHOOK_SECRET", "MAX_CONCURRENT", "f.toml:2"))

"""From a job to its machine or its refusal, by the rules of settings and file."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given as given_by
from hypothesis import strategies as st

from github_app.errors import ConfigError
from github_app.model import MadeFor, RunFacts
from github_app.routing.catalog import GPUS, REGIONS
from github_app.routing.labels import KEYS
from github_app.routing.network import github_domains
from github_app.routing.route import needs_run, route
from github_app.routing.rules import Admit, Ignore, Refuse, Rules
from github_app.settings.load import parse_config
from github_app.settings.make_rules import make_rules, refuse_unsound
from tests.worlds.records import event, routing_settings

DEPLOY = ".github/workflows/deploy.yml"


def rules(toml: str = "", **settings: Any) -> Rules:
    """The rules of a file and of settings."""
    return make_rules(routing_settings(**settings), parse_config(toml))


def refusal(*labels: str, toml: str = "", settings: dict[str, Any] | None = None, **job: Any) -> Refuse:
    """The refusal of a job."""
    found = route(event(labels=("modal", *labels), **job), rules(toml, **(settings or {})))
    assert isinstance(found, Refuse), found
    return found


def admitted(*labels: str, toml: str = "", settings: dict[str, Any] | None = None, **job: Any) -> Admit:
    """What a job is given."""
    found = route(event(labels=("modal", *labels), **job), rules(toml, **(settings or {})))
    assert isinstance(found, Admit), found
    return found


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("cpu:lots", "cpu:8"),
        ("cpu:0", "cpu:8"),
        ("memory:0g", "memory:32g"),
        ("memory:big", "memory:32g"),
        ("timeout:forever", "timeout:2h"),
        ("region:us-eastern", "Nearest: 'region:us-east'"),
        ("disk:100g", "disk cannot be chosen on Modal"),
        ("gpus:h100", "Nearest: 'gpu:h100'"),
        ("image:cuda", "names no image"),
        ("profile:train", "names no profile"),
        ("network:nowhere", "There are: github-only, open"),
        ("cache:", "has no name"),
        ("modal/gpu", "without a value"),
        ("modal/ram=4g", "asks for 'ram'"),
        ("memory:1m", "128 MiB"),
        ("cpu:0.1", "cpu:8"),
        ("memory:٣٢g", "memory:32g"),
        ("docker:27", "write 'docker'"),
        ("gpu=h100", "'gpu:h100'"),
        ("gup:h100", "Nearest: 'gpu:h100'"),
        ("cpu:9998", "64 vCPUs"),
        ("timeout:99h", "23h45m"),
    ],
)
def test_a_label_that_cannot_be_served_is_refused_with_what_can(label: str, words: str) -> None:
    found = refusal(label)

    assert words in found.sentence
    assert found.sentence.endswith(".")


@pytest.mark.parametrize(
    "labels",
    [("cpu:4", "cpu:8"), ("gpu:t4", "modal/gpu=h100"), ("memory:4g", "memory:8g"), ("region:us", "region:eu")],
)
def test_labels_that_contradict_each_other_are_refused(labels: tuple[str, ...]) -> None:
    assert refusal(*labels).code == "conflict"


def test_the_same_said_twice_is_no_contradiction() -> None:
    assert admitted("gpu:h100", "modal/gpu=h100:1/cpu=8", "cpu:8").shape.cpu == (4.0, 4.0)


def test_labels_of_others_pass_through() -> None:
    assert isinstance(admitted("team-a", "zone:blue", "x64", "linux", "self-hosted"), Admit)


def test_another_systems_label_with_a_slash_passes_through() -> None:
    assert isinstance(admitted("team/a:1"), Admit)


def test_who_may_have_what_a_profile_gives_is_no_wider_than_the_route() -> None:
    profile = "[profiles.p]\nsecrets = ['s']\n[[routes]]\nname = 'r'\nprofile = 'p'\n"

    assert admitted(toml=profile).shape.made_for == MadeFor(("octo-org/app",))
    named = admitted(toml=profile + "repositories = ['octo-org/*']\nbranch = 'main'\n", branch="main")
    assert named.shape.made_for == MadeFor(("octo-org/*",), "main")
    cached = admitted("cache:c", toml=profile + "repositories = ['octo-org/*']\n")
    assert cached.shape.made_for == MadeFor(("octo-org/app",))


def test_where_forks_may_run_there_is_no_cache() -> None:
    forks = "[profiles.p]\n[[routes]]\nname = 'f'\nrepositories = ['octo-org/app']\nforks = true\nprofile = 'p'\n"

    assert admitted(toml=forks, settings={"cache_volume_name": "c"}).shape.volumes == ()
    assert refusal("cache:c", toml=forks).code == "cache"


def test_no_two_repositories_share_a_cache_by_the_way_names_are_joined() -> None:
    settings = {"cache_volume_name": "ci"}
    first = admitted("cache:foo", repository="bar/app", settings=settings)
    second = admitted(repository="foo-bar/app", settings=settings)

    assert dict(first.shape.volumes) != dict(second.shape.volumes)


def cache(toml: str = "", **job: Any) -> str:
    """The cache volume of a job."""
    return dict(admitted("cache:c", toml=toml, **job).shape.volumes)["/cache"]


def test_the_default_branch_has_a_cache_that_no_other_branch_writes() -> None:
    listed = "[cache]\nbranches = ['release/*']\n"
    main, feature, tag = (cache(branch=name, default_branch="main") for name in ("main", "feature", None))

    assert main != feature == tag
    assert cache(branch="MAIN", default_branch="main") == feature
    assert cache(branch="main", default_branch="main", run=RunFacts("pull_request", from_fork=False)) == feature
    assert cache(branch="main") not in {main, feature}
    assert cache(listed, branch="release/2", default_branch="main") == main
    assert cache(branch="release/2", default_branch="main") == feature
    assert cache(branch="trunk", default_branch="trunk", repository="octo-org/x") != main


def test_who_may_have_a_cache_is_said_by_branch() -> None:
    own = admitted("cache:c", branch="main", default_branch="main").shape.made_for
    other = admitted("cache:c", branch="x", default_branch="main").shape.made_for

    assert own == MadeFor(("octo-org/app",), only_branches=("main",))
    assert other == MadeFor(("octo-org/app",), not_branches=("main",))


def test_the_name_of_a_cache_keeps_128_bits_and_a_part_that_can_be_read() -> None:
    name = cache(repository="octo-org/" + "a" * 90)

    assert len(name) == 64
    assert name.startswith("modal-runner-cache-c-")
    assert re.fullmatch(r"[0-9a-f]{32}", name[-32:])


SMALL = "[limits]\ntimeout = '1h'\ncpu = 2\nmemory = '4g'\n"


def test_limits_bound_what_a_job_gets_that_asks_for_nothing() -> None:
    plain, docker = admitted(toml=SMALL).shape, admitted("docker", toml=SMALL).shape

    assert plain.cpu == (1.0, 1.0)
    assert plain.memory_mib == (2048, 4096)
    assert docker.memory_mib == (4096, 4096)
    assert plain.timeout_s == 3600 + 300 + 600


def test_a_profile_may_go_beyond_the_limits() -> None:
    big = SMALL + "[profiles.big]\ncpu = 16\n"

    assert admitted("profile:big", toml=big).shape.cpu == (8.0, 8.0)


@pytest.mark.parametrize(
    ("limits", "label"),
    [("images = []", "image:cuda"), ("caches = ['models']", "cache:mine"), ("docker = false", "docker")],
)
def test_images_caches_and_docker_have_limits(limits: str, label: str) -> None:
    toml = f"[limits]\n{limits}\n[images.cuda]\napt = ['cmake']\n"

    assert refusal(label, toml=toml).code == "limit"
    assert isinstance(admitted(label, toml="[images.cuda]\napt = ['cmake']\n"), Admit)


def test_a_closed_network_of_the_environment_wins_over_profiles_and_labels() -> None:
    toml = "[networks.n]\ndomains = ['example.com']\n[profiles.x]\nnetwork = 'open'\n"
    shut = {"block_network": True}

    assert admitted("profile:x", toml=toml, settings=shut).shape.network.mode == "github-only"
    assert refusal("network:open", toml=toml, settings=shut).code == "network"
    assert refusal("network:n", "profile:x", toml=toml, settings=shut).code == "network"


def test_labels_beside_ours_may_be_held_to_a_list() -> None:
    toml = "[labels]\nbeside = ['team-*']\n"

    assert isinstance(admitted("team-a", "gpu:t4", toml=toml), Admit)
    assert "prod-deploy" in refusal("prod-deploy", toml=toml).sentence
    assert isinstance(admitted("prod-deploy"), Admit)


def test_a_workflows_name_decides_over_no_secret() -> None:
    with pytest.raises(ConfigError, match=r"toml:12: routes\.0\.workflow: 'nightly\*' is a name"):
        rules(ROUTES.replace("nightly*.yml", "nightly*"))


def test_a_route_by_a_workflows_file_asks_for_the_run_and_goes_by_the_file() -> None:
    toml = "[profiles.p]\nsecrets = ['s']\n[[routes]]\nname = 'd'\nworkflow = 'deploy.yml'\nprofile = 'p'\n"
    evil = f"{DEPLOY}@evil.yml"
    paths = (DEPLOY, f"{DEPLOY}@main", f"{DEPLOY}@refs/heads/a@b", "x.yml", evil)
    runs = {path: RunFacts("push", from_fork=False, path=path) for path in paths}

    assert needs_run(event(labels=("modal",)), rules(toml))
    assert admitted(toml=toml, run=runs[DEPLOY]).profile == "p"
    assert admitted(toml=toml, run=runs[f"{DEPLOY}@main"]).profile == "p"
    assert admitted(toml=toml, run=runs[f"{DEPLOY}@refs/heads/a@b"]).profile == "p"
    assert admitted(toml=toml, run=runs["x.yml"], workflow="deploy.yml").profile is None
    assert admitted(toml=toml, run=runs[evil]).profile is None


def test_a_workflows_name_with_a_slash_is_a_name() -> None:
    toml = "[[routes]]\nname = 'no'\nworkflow = 'Load / *'\nrefuse = 'No.'\n"

    assert refusal(toml=toml, workflow="Load / stress").sentence == "No."


def test_a_route_gives_its_runner_group_with_and_without_a_profile_and_secrets_may_rest_on_it() -> None:
    toml = (
        '[profiles.p]\nsecrets = ["s"]\nrunner_group = 4\n[profiles.q]\nsecrets = ["s"]\n'
        '[[routes]]\nname = "own"\nlabels = ["a"]\nprofile = "p"\n'
        '[[routes]]\nname = "other"\nlabels = ["b"]\nprofile = "q"\nrunner_group = 5\n'
        '[[routes]]\nname = "alone"\nlabels = ["c"]\nrunner_group = 6\n'
    )
    shapes = {label: admitted(label, toml=toml).shape for label in ("a", "b", "c", "d")}

    assert {label: (shape.runner_group, shape.bare) for label, shape in shapes.items()} == {
        "a": (4, False),
        "b": (5, False),
        "c": (6, False),
        "d": (None, False),
    }
    refuse_unsound(routing_settings(), parse_config(toml))


def test_the_runner_group_of_the_environment_wins_over_the_files_defaults() -> None:
    shape = admitted(toml="[defaults]\nrunner_group = 3\n", settings={"runner_group_id": 9}).shape

    assert shape.runner_group == 9


def test_a_bare_self_hosted_job_is_not_ours() -> None:
    assert isinstance(route(event(labels=("self-hosted",)), rules()), Ignore)


@pytest.mark.parametrize("label", ["modal", "big-modal", "MODAL/cpu=2"])
def test_each_of_several_labels_selects_us(label: str) -> None:
    found = route(event(labels=(label,)), rules(runner_label=("modal", "Big-Modal")))

    assert isinstance(found, Admit)


LIMITS = "[limits]\ncpu = 8\nmemory = '16g'\ntimeout = '2h'\ngpus = ['t4:2']\nregions = ['eu']\nnetworks = []\n"


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("cpu:16", "8 vCPUs"),
        ("memory:32g", "16g"),
        ("timeout:3h", "2h"),
        ("gpu:h100", "gpu:t4:2"),
        ("gpu:t4:4", "gpu:t4:2"),
        ("region:us", "eu"),
    ],
)
def test_more_than_the_administrator_allows_is_refused_with_what_is_allowed(label: str, words: str) -> None:
    found = refusal(label, toml=LIMITS)

    assert found.code == "limit"
    assert words in found.sentence


def test_a_label_cannot_open_a_network_that_the_administrator_has_closed() -> None:
    hf = "[networks.hf]\ndomains = ['huggingface.co']\n"

    assert refusal("network:open", settings={"block_network": True}).code == "network"
    assert refusal("network:hf", toml=hf, settings={"block_network": True}).code == "network"
    assert refusal("network:open", settings={"allowed_cidrs": ("203.0.113.0/24",)}).code == "network"
    assert admitted("network:hf", toml=hf).shape.network.domains[-1] == "huggingface.co"


def test_a_label_may_always_close_the_network() -> None:
    shape = admitted("network:github-only", toml=LIMITS).shape

    assert shape.network.domains == github_domains(None)


ROUTES = """
[profiles.train]
gpu = "h100"
secrets = ["s"]
[profiles.big]
cpu = 32
[[routes]]
name = "train"
org = "Octo-Org"
repositories = ["octo-org/train-*"]
labels = ["train*"]
workflow = "nightly*.yml"
branch = "main"
profile = "train"
[[routes]]
name = "no"
labels = ["gpu:*"]
refuse = "No GPUs here."
"""


def test_the_first_route_that_matches_decides() -> None:
    run = RunFacts("schedule", from_fork=False, path=".github/workflows/nightly-2.yml")
    job: dict[str, Any] = {"repository": "octo-org/train-a", "run": run, "branch": "main"}
    other = msgspec.structs.replace(run, path=".github/workflows/ci.yml")
    found = admitted("train-now", "gpu:h100", toml=ROUTES, **job)

    assert (found.route, found.profile) == ("train", "train")
    assert found.shape.made_for == MadeFor(("octo-org/train-a",), "main", "nightly*.yml")
    for changed in ({"repository": "octo-org/x"}, {"run": other}, {"branch": "dev"}):
        assert refusal("train-now", "gpu:h100", toml=ROUTES, **(job | changed)).sentence == "No GPUs here."


@pytest.mark.parametrize(
    "labels",
    [
        ("gpu:h100",),
        ("GPU:H100x2",),
        ("modal/gpu=h100",),
        ("modal/cpu=4/gpu=h100:2",),
        ("profile:g",),
        ("modal/profile=g",),
    ],
)
def test_a_route_sees_what_a_job_asks_for_in_whatever_form_it_says_so(labels: tuple[str, ...]) -> None:
    toml = "[profiles.g]\ngpu = 'h100:2'\n[[routes]]\nname = 'no'\nlabels = ['gpu:*']\nrefuse = 'No GPUs here.'\n"

    assert refusal(*labels, toml=toml).sentence == "No GPUs here."


def test_a_profile_with_secrets_cannot_be_asked_for_by_label() -> None:
    without_refusal = ROUTES.partition('[[routes]]\nname = "no"')[0]
    assert "only a route leads to that profile" in refusal("profile:train", toml=without_refusal).sentence
    assert admitted("profile:big", toml=ROUTES).shape.cpu == (16.0, 16.0)


def test_a_route_that_asks_for_the_event_needs_the_run() -> None:
    toml = "[[routes]]\nname = 'pr'\nevents = ['pull_request']\nrefuse = 'Not for pull requests.'\n"
    push, pull = (event(run=RunFacts(name, from_fork=False)) for name in ("push", "pull_request"))

    assert needs_run(event(), rules(toml))
    assert isinstance(route(push, rules(toml)), Admit)
    assert isinstance(route(pull, rules(toml)), Refuse)


def test_only_where_a_fork_may_be_at_work_is_the_run_asked_for() -> None:
    named: dict[str, Any] = {"allowed_repos": ("octo-org/app",)}
    forks = "[profiles.p]\n[[routes]]\nname = 'f'\nrepositories = ['octo-org/app']\nforks = true\nprofile = 'p'\n"

    assert not needs_run(event(), rules())
    assert needs_run(event(forked=True), rules())
    assert needs_run(event(private=False), rules(**named))
    assert not needs_run(event(private=False), rules(forks))


def test_the_code_of_a_fork_runs_only_where_a_route_says_so() -> None:
    forks = "[profiles.p]\n[[routes]]\nname = 'f'\nrepositories = ['octo-org/app']\nforks = true\nprofile = 'p'\n"
    fork = RunFacts("pull_request", from_fork=True)

    assert refusal(forked=True, run=fork).code == "fork"
    assert admitted(forked=True, run=fork, toml=forks).shape.forks == ("octo-org/app",)


def test_a_public_repository_is_served_when_a_route_names_it_in_full() -> None:
    named = "[profiles.p]\n[[routes]]\nname = 'f'\nrepositories = ['octo-org/app']\nprofile = 'p'\n"
    glob = named.replace("octo-org/app", "octo-org/*")

    assert refusal(private=False).code == "repository"
    assert refusal(private=False, toml=glob).code == "repository"
    assert isinstance(admitted(private=False, toml=named), Admit)


@pytest.mark.parametrize(
    ("domain", "some"),
    [(None, "github.com"), ("acme.ghe.com", "*.actions.acme.ghe.com"), ("ghe.example.com", "*.ghe.example.com")],
)
def test_a_closed_network_reaches_the_github_that_it_serves(domain: str | None, some: str) -> None:
    shape = admitted(settings={"block_network": True, "github_enterprise_domain": domain}).shape

    assert some in shape.network.domains
    assert ("github.com" in shape.network.domains) is (domain is None)


def test_two_long_repository_names_do_not_share_a_cache() -> None:
    names = [f"octo-org/{'a' * 90}{end}" for end in "xy"]
    volumes = {dict(admitted("cache:c", repository=name).shape.volumes)["/cache"] for name in names}

    assert len(volumes) == 2
    assert all(len(name) <= 64 for name in volumes)


_WORD = st.text(max_size=30)
_KEYS = st.sampled_from([*KEYS, "disk", "run"])
_LABEL = _WORD | st.builds("{}:{}".format, _KEYS, _WORD) | st.builds("modal/{}={}".format, _KEYS, _WORD)


@given_by(st.lists(_LABEL, max_size=6))
def test_nothing_that_a_stranger_writes_reaches_modal_unlisted(labels: list[str]) -> None:
    found = route(event(labels=("modal", *labels)), rules("[images.cuda]\n[networks.hf]\n[profiles.big]\ncpu = 4\n"))

    assert isinstance(found, Admit | Refuse)
    if isinstance(found, Admit):
        shape = found.shape
        assert shape.gpu is None or shape.gpu.type in {each.name for each in GPUS.values()}
        assert shape.region is None or shape.region in REGIONS
        assert shape.image in {"default", "cuda"}
        assert shape.network.mode in {"open", "github-only", "hf"}
        assert 0.125 <= shape.cpu[0] <= 32
        assert 128 <= shape.memory_mib[0] <= 256 * 1024
        assert shape.timeout_s <= 24 * 3600
        assert all(path == "/cache" and name.startswith("modal-runner-cache-") for path, name in shape.volumes)

"""Where one answer ends and the next begins: tables of exact results, one function after the other."""

from typing import Any

import msgspec
import pytest

from github_app.errors import ConfigError
from github_app.model import Gpu, MadeFor, Network, RunFacts, Scope, Shape
from github_app.routing import lookalikes, units
from github_app.routing.caches import Caches
from github_app.routing.catalog import github_usd, usd_per_minute
from github_app.routing.globs import as_regex
from github_app.routing.labels import KEYS, Rejected, Wanted, meaningless, parse
from github_app.routing.network import cidr, github_domains, github_names, is_private, networks
from github_app.routing.policy import FORK_REFUSED, PUBLIC
from github_app.routing.profiles import Profile, Route, workflow_file
from github_app.routing.provisions import Provisions, given, has_boundary
from github_app.routing.route import needs_run, route, took_our_runner
from github_app.routing.rules import Admit, Ignore, Refuse, Rules
from github_app.settings.load import parse_config
from github_app.settings.make_rules import make_rules
from tests.worlds.records import ORGANIZATION, PERSONAL, SHAPE, event, routing_settings

OURS = ("modal",)


def decided(*labels: str, toml: str = "", **job: Any) -> Ignore | Refuse | Admit:
    """What becomes of a job by the rules of a file."""
    rules = make_rules(routing_settings(), parse_config(toml))
    return route(event(labels=(*OURS, *labels), **job), rules)


def shape(*labels: str, toml: str = "") -> Shape:
    """The machine of a job that is admitted."""
    found = decided(*labels, toml=toml)
    assert isinstance(found, Admit), found
    return found.shape


def test_the_least_and_the_most_that_can_be_said_is_read() -> None:
    read = {"cpu:0.25": Wanted(vcpu=0.25), "cpu:9999": Wanted(vcpu=9999.0), "memory:128m": Wanted(memory_mib=128)}
    gpus = {"gpu:rtx-pro-6000x1": Wanted(Gpu("RTX-PRO-6000")), "gpu:t4:0008": Wanted(Gpu("T4", 8))}
    file = parse_config("profiles.p = {memory = '128m', timeout = '24h'}").profiles["p"]

    assert {label: parse([*OURS, label], OURS) for label in read | gpus} == read | gpus
    assert (file.memory, file.timeout) == (128, 86400)


@pytest.mark.parametrize(
    ("label", "code"),
    [
        *(("cpu:0.249", "cpu"), ("cpu:9999.001", "cpu"), ("cpu:٨", "cpu"), ("memory:127m", "memory")),
        *(("gpu:h100:9999", "gpu-count"), ("gpu:h100:10000", "gpu"), ("timeout:0h", "timeout"), ("cache:", "name")),
        *(("region:mars", "region"), ("disk:10g", "disk"), ("docker:27", "docker"), ("gup:h100", "label")),
        *(("modal/gpu", "label"), ("gpu=h100", "label"), ("cache=a=b", "label")),
    ],
)
def test_what_is_wrong_with_a_label_has_a_code(label: str, code: str) -> None:
    rejected = parse([*OURS, label], OURS)

    assert isinstance(rejected, Rejected)
    assert rejected.code == code


def test_what_says_nothing_about_the_machine_is_what_is_left_without_our_words() -> None:
    written = ["self-hosted", "Linux", "MODAL/cpu=4/gpu=t4", "gpu:h100:2", "docker", "Team-A", "team/a:1"]

    assert meaningless(written, ["Modal"]) == ["Team-A", "team/a:1"]


def test_what_is_near_is_proposed_and_nothing_else() -> None:
    slips = dict.fromkeys(("mewory", "memry", "memmory", "meomry"), "memory")
    none = dict.fromkeys(("memory", "momery", "mem"))
    cards = {"2xh100": "'gpu:h100:2'", "8xa10": "'gpu:a10'", "1xt4": "'gpu:t4'"}

    assert {key: lookalikes.near_miss(key, KEYS) for key in slips | none} == slips | none
    assert {label: lookalikes.meant_hardware(label) for label in cards} == cards


def test_a_job_that_is_not_ours_is_ignored_with_the_reason() -> None:
    stray = [route(event(labels=(each,)), Rules()) for each in ("team,linux", "gpu:t4", "modal-large")]
    reason = "the label 'modal:h100:2' has a colon after 'modal'; write [modal, \"gpu:h100:2\"] or modal/gpu=h100:2"

    assert stray == [Ignore("no label 'modal'")] * 3
    assert route(event(labels=("modal:h100:2",)), Rules()) == Ignore(reason, meant=True)


FILE = """
limits = {cpu = 8, memory = '16g', timeout = '2h', gpus = ['t4:2'], networks = [], docker = false}
labels = {beside = ['team-*']}
networks = {hf = {domains = ['huggingface.co']}}
images = {cuda = {}, other = {}}
routes = [
  {name = 'small', repositories = ['octo-org/small'], profile = 'small'},
  {name = 'no', repositories = ['octo-org/no'], refuse = 'No.'},
  {name = 'forks', repositories = ['octo-org/forks'], forks = true, profile = 'small'},
]
[profiles]
full = {gpu = 'a10:2', cpu = 6, memory = '24g', timeout = '3h', region = 'eu', image = 'cuda', docker = true}
small = {cpu = 2}
own = {runner_group = 3}
"""


def test_a_label_may_ask_for_all_that_is_allowed_and_for_as_long_as_a_sandbox_lives() -> None:
    for label in ("cpu:8", "memory:16g", "timeout:2h", "gpu:t4:2", "network:open"):
        assert isinstance(decided(label, toml=FILE), Admit), label
    assert shape("timeout:85500s").timeout_s == 24 * 3600


@pytest.mark.parametrize(
    ("labels", "job", "refusal"),
    [
        (["cpu:8.5"], {}, ("limit", "The label 'cpu:8.5' is more than the 8 vCPUs allowed here.")),
        (["memory:16385m"], {}, ("limit", "The label 'memory:16385m' is more than the 16g allowed here.")),
        (["timeout:7201s"], {}, ("limit", "The label 'timeout:7201s' is more than the 2h allowed here.")),
        (["gpu:t4:3"], {}, ("limit", "The GPU T4:3 is not allowed here; allowed are at most: gpu:t4:2.")),
        (["docker"], {}, ("limit", "The label 'docker' is not allowed here.")),
        (["arm64"], {}, ("platform", "Modal's machines are Linux on x64.")),
        (["network:hf"], {}, ("network", "'network:hf' is not allowed here; allowed: github-only, open.")),
        *(([f"{kind}:x"], {}, (kind, f"names no {kind}")) for kind in ("network", "image", "profile")),
        (["profile:own"], {}, ("profile", "only a route leads to that profile.")),
        (["profile:full"], {"repository": "octo-org/small"}, ("profile", "not for this job; its route gives 'small'.")),
        (["cache:c"], {"repository": "octo-org/forks"}, ("cache", "a route that lets forks run.")),
        (["prod"], {}, ("label", "'prod' may not stand beside ours; allowed: team-*.")),
        ([], {"repository": "octo-org/no"}, ("route", "No.")),
        ([], {"run": RunFacts("push", from_fork=True)}, ("fork", FORK_REFUSED)),
        ([], {"private": False}, ("repository", PUBLIC.format(repository="octo-org/app"))),
    ],
)
def test_a_refusal_has_its_code_and_its_words(labels: list[str], job: dict[str, Any], refusal: tuple[str, str]) -> None:
    found = decided(*labels, toml=FILE, **job)

    assert isinstance(found, Refuse)
    assert (found.code, refusal[1] in found.sentence) == (refusal[0], True)
    assert found.route == ("no" if found.code == "route" else None)


def test_a_machine_is_as_the_labels_say_and_else_as_the_profile_says() -> None:
    labels = ("gpu:t4", "cpu:4", "memory:8g", "timeout:1h", "region:us-east", "image:other")
    said = Shape((2.0, 2.0), (8192, 8192), 4500, Gpu("T4"), "us-east", "other")
    full = Shape((3.0, 3.0), (24576, 24576), 11700, Gpu("A10", 2), "eu", "cuda", docker=True, profile="full")

    assert shape() == Shape((1.0, 8.0), (2048, 32768), 22500)
    assert shape(toml="limits.cpu = 1").cpu == (0.5, 0.5)
    assert shape("profile:full", toml=FILE) == full
    assert shape(*labels, toml=FILE) == said
    assert shape("profile:full", *labels, toml=FILE) == msgspec.structs.replace(said, docker=True, profile="full")


def by_route(profile: Profile, labels: tuple[str, ...] = OURS, *, scope: Scope = ORGANIZATION, **more: Any) -> Admit:
    """What a job of main gets by a route to a profile."""
    run = RunFacts("push", from_fork=bool(more.get("forks")), path=".github/workflows/ci.yml")
    job = event(labels=labels, scope=scope, branch="main", run=run, repository="Octo-Org/App")
    found = route(job, Rules(routes=(Route(name="r", profile="p", **more),), profiles={"p": profile}))
    assert isinstance(found, Admit), found
    return found


def test_an_admission_tells_what_it_rests_on_and_for_which_jobs_it_is() -> None:
    meant: dict[str, Any] = {"workflow": "ci.yml", "branch": "main", "events": ("push",)}
    plain, own = (by_route(Profile(cpu=4, env=env), **meant).shape for env in ({}, {"A": "1"}))
    cached = by_route(Profile(), ("modal", "cache:models"))

    assert plain == Shape((2.0, 2.0), (2048, 32768), 22500, profile="p")
    assert own == msgspec.structs.replace(plain, made_for=MadeFor(("octo-org/app",), **meant))
    assert (cached.route, cached.profile, cached.cache) == ("r", "p", "models")
    assert by_route(Profile(), forks=True).shape.forks == ("octo-org/app",)


def test_volumes_are_kept_back_where_labels_alone_lead_to_them() -> None:
    volumes, places = {"/data": "v"}, ((ORGANIZATION, None), (PERSONAL, None), (ORGANIZATION, 3))
    shapes = [by_route(Profile(volumes=volumes, runner_group=group), scope=scope).shape for scope, group in places]

    assert [each.bare for each in shapes] == [True, False, False]
    assert [dict(each.volumes) for each in shapes] == [{}, volumes, volumes]


def test_one_boundary_is_enough() -> None:
    profiles = (Profile(), Profile(trust="repository"), Profile(trust="labels"), Profile(runner_group=3))

    assert [has_boundary(each, Profile()) for each in profiles] == [False, False, True, True]
    assert (has_boundary(Profile(), profiles[3]), has_boundary(*profiles[:2], in_repository=True)) == (True, True)


def test_a_sandbox_is_given_what_all_are_and_its_own() -> None:
    common, own = {"B": "0", "C": "3"}, {"A": "1", "B": "2"}
    named = Profile(env=own, secret_env={"T": "t"}, secrets=("own",))
    rules = Rules(defaults=Profile(env=common, secrets=("shared",)), profiles={"p": named})
    asked = ((None, False), ("p", False), ("p", True))
    shapes = [msgspec.structs.replace(SHAPE, profile=profile, bare=bare) for profile, bare in asked]

    assert [given(each, rules) for each in shapes] == [
        Provisions(common, ("shared",)),
        Provisions(common | own | {"T": "t"}, ("shared", "own"), ("A", "B", "T"), ("T",)),
        Provisions(common | own, ("shared",), ("A", "B"), kept_back="p"),
    ]


def test_the_run_is_asked_for_where_it_decides() -> None:
    routes = (Route(name="gpus", labels=("gpu:*",), events=("push",)), Route(name="r", labels=("cpu:2",)))
    rules = Rules(routes=routes, passes=("gpu-team",))
    labels = (("linux",), OURS, ("modal", "gpu-team"), ("modal", "gpu:t4"), ("modal", "cpu:2"))

    assert [needs_run(event(labels=each), rules) for each in labels] == [False, False, False, True, False]
    assert [needs_run(event(labels=each, forked=True), rules) for each in labels] == [False, True, True, True, True]
    assert not needs_run(event(private=False), rules)
    assert isinstance(route(event(labels=("modal", "gpu-team")), rules), Admit)


def test_a_runner_of_ours_is_known_by_its_name() -> None:
    names = {None: False, "": False, "modal-11-1": True, "modal-11-1-x": False, "ci-1": False}

    assert {name: took_our_runner(event(runner_name=name)) for name in names} == names


def test_a_machine_costs_what_is_requested_of_it() -> None:
    asked = ((None, None), (Gpu("T4", 2), None), (Gpu("T4", 2), "eu"), (Gpu("T4", 2), "us-east"))
    shapes = [Shape((2.0, 8.0), (65536, 131072), 600, gpu, region) for gpu, region in asked]

    assert [usd_per_minute(each) for each in shapes] == [0.030343, 0.050023, 0.075035, 0.087541]


ALLOWED = "[limits]\ndebug = true\n"


def test_a_label_keeps_a_failed_jobs_sandbox_where_an_administrator_allows_it() -> None:
    plain, kept = shape(), shape("debug:30m", toml=ALLOWED)
    by_profile = decided("debug:1m", "profile:p", toml="[profiles.p]\ncpu = 2\n")
    both = decided("debug:30m", "timeout:1410m", toml=ALLOWED)

    assert (plain.debug_s, kept.debug_s) == (0, 1800)
    # Its time comes on top of the job's.
    assert kept.timeout_s == plain.timeout_s + 1800
    assert kept.timeout_s == shape("debug:1800s", toml=ALLOWED).timeout_s
    assert isinstance(by_profile, Refuse)
    assert by_profile.sentence == (
        "The label 'debug:1m' is not allowed here. An administrator may allow it: [limits] debug = true."
    )
    assert isinstance(both, Refuse)
    assert "more than the 23h15m allowed here" in both.sentence


@pytest.mark.parametrize("asked", ["59s", "121m", "30", "always", ""])
def test_a_label_that_says_no_such_time_is_refused(asked: str) -> None:
    found = decided(f"debug:{asked}", toml=ALLOWED)

    assert isinstance(found, Refuse)
    assert found.sentence == f"The label 'debug:{asked}' is no time from 1m to 120m; write for example 'debug:30m'."


@pytest.mark.parametrize(
    ("seconds", "vcpu", "memory_gib", "gpu", "usd"),
    [
        # The smallest that has both, for each minute that has begun.
        (1, 0.25, 1, None, 0.006),
        (60, 2, 8, None, 0.006),
        (61, 2, 8, None, 0.012),
        (60, 2.5, 8, None, 0.012),
        (60, 2, 9, None, 0.012),
        (600, 8, 32, None, 0.22),
        (600, 8, 256, None, 1.62),
        (600, 96, 384, None, 2.52),
        (600, 96.5, 1, None, None),
        (600, 2, 385, None, None),
        (600, 4, 28, "T4", 0.52),
        (600, 5, 28, "T4", None),
        (600, 2, 2, "T4:2", None),
        (600, 2, 2, "H100", None),
    ],
)
def test_what_a_job_would_cost_on_githubs_own_runner(
    seconds: float, vcpu: float, memory_gib: int, gpu: str | None, usd: float | None
) -> None:
    assert github_usd(seconds, vcpu, memory_gib * 1024, gpu) == usd


def test_the_names_of_a_github_are_told_with_what_for_and_who_says_so() -> None:
    tenant = ("acme.ghe.com", "*.acme.ghe.com", "*.actions.acme.ghe.com", "auth.ghe.com", "*.githubassets.com")

    assert github_domains("ACME.ghe.com:443") == (*tenant, "*.githubusercontent.com", "*.blob.core.windows.net")
    assert github_domains("git.example.com:8443") == ("git.example.com", "*.git.example.com")
    assert all(
        each.purpose and each.source for host in ("acme.ghe.com", "git.example.com") for each in github_names(host)
    )


def test_a_network_of_the_file_reaches_github_too() -> None:
    listed = {"hf": Network("hf", ("hf.co", "github.com"), ("8.8.8.0/24",))}
    only, hf = Network("github-only", ("github.com",)), Network("hf", ("github.com", "hf.co"), ("8.8.8.0/24",))

    assert networks(("github.com",), listed) == {"open": Network("open"), "github-only": only, "hf": hf}
    assert (is_private("8.8.8.0/24"), is_private("10.0.0.0/8")) == (False, True)


def test_a_range_of_addresses_is_taken_as_modal_takes_it() -> None:
    refused = {"203.0.113.7/24": "write 203.0.113.0/24", "2001:db8::/32": "IPv4 ranges only", "x.com": "no range"}

    assert [cidr(each) for each in (" 203.0.113.0/24 ", "203.0.113.7")] == ["203.0.113.0/24", "203.0.113.7/32"]
    for written, words in refused.items():
        with pytest.raises(ValueError, match=words):
            cidr(written)


def test_a_set_ends_where_a_shell_ends_it() -> None:
    sets = {"[!]a]": r"[^\]a]", "[]a]": r"[\]a]", "[!a]": "[^a]", "[a][b]": "[a][b]"}
    none = {"a[b": r"a\[b", "[]": r"\[\]", "[!]": r"\[\!\]"}

    assert {glob: as_regex(glob) for glob in sets | none} == {g: rf"\A{each}\z" for g, each in (sets | none).items()}


def test_a_cache_keeps_its_volume_from_one_version_to_the_next() -> None:
    jobs = (event(), event(default_branch="main", branch="main"), event(default_branch="main", branch="x"))

    assert [Caches("ci").of("x", each)[0] for each in jobs] == [
        "ci-x-octo-org.app-20bba8f72bbcfdde0efd37518fa4d14a",
        "ci-x-octo-org.app-144d873e0359ec263e56cd22691d437a",
        "ci-x-octo-org.app-c0d269da0d3a30b9a773558f6fdcda5e",
    ]
    assert [Caches("ci", shared=True).of(name, event()) for name in ("ci", "x")] == [("ci", None), ("ci-x", None)]


def test_sizes_times_and_money_are_written_as_people_do() -> None:
    times = {0: "0m", 45: "45s", 60: "1m", 3600: "1h", 5400: "1h30m", 3661: "3661s"}

    assert {each: units.as_time(each) for each in times} == times
    assert [units.as_size(each) for each in (1024, 1536, 512)] == ["1g", "1536m", "512m"]
    assert [units.as_money(each) for each in (0.0099, 0.01, 1.5)] == ["less than $0.01", "$0.01", "$1.50"]
    assert [units.number_of(each, "job") for each in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    things = {"delivery": "deliveries", "sandbox": "sandboxes", "day": "days", "repository": "repositories"}
    assert {each: units.number_of(3, each) for each in things} == {one: f"3 {many}" for one, many in things.items()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        *(("profiles.p.memory = '127m'", "'127m' is no size"), ("profiles.p.memory = 'big'", "'big' is no size")),
        *(("profiles.p.timeout = 'soon'", "no time"), ("profiles.p.timeout = '1441m'", "longer than the 24 hours")),
        *(("profiles.p.region = 'mars'", "no region of Modal"), ("profiles.p.gpu = 'h1000'", "names no GPU of Modal")),
        ("networks.n.domains = ['https://x.com']", "is no domain"),
        ("routes = [{name = 'r', repositories = ['app'], refuse = 'No.'}]", "not of the form owner/repo"),
    ],
)
def test_what_the_file_cannot_say_is_refused_in_words(line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(line)


def test_a_file_is_known_by_its_path_without_the_ref() -> None:
    folder = ".github/workflows/"
    paths = {"ci.yml": "ci.yml@refs/heads/a@refs/b", "a@b.yml": "a@b.yml@main", f"{folder}x.yaml": "x.yaml"}

    for workflow, path in paths.items():
        assert Route(name="r", workflow=workflow).fits_run(RunFacts("push", from_fork=False, path=folder + path)), path
    assert [workflow_file(each) for each in (f"{folder}x.yaml", "ci.yml")] == [f"{folder}x.yaml", f"{folder}ci.yml"]

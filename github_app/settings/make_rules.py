"""The rules that settings and file make together, and what in them may not be meant."""

import re
from collections import Counter

from pydantic import SecretStr

from github_app.errors import ConfigError
from github_app.model import Network, Place, SandboxSpec, Scope, Shape
from github_app.routing.admission import LONGEST, hook_rules
from github_app.routing.caches import Caches
from github_app.routing.catalog import RUNNER_VERSION
from github_app.routing.network import (
    ALLOWED_CIDRS,
    GITHUB_ONLY,
    github_domains,
    is_private,
    networks,
)
from github_app.routing.policy import Policy, is_full_name
from github_app.routing.provisions import has_boundary
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.warm import Seat, problem, seats_of
from github_app.settings.toml_file import Config
from github_app.settings.variables import SECRET_LENGTH, RoutingSettings, Settings

_ANY_SANDBOX = SandboxSpec("modal-1-1", Shape((1, 1), (1, 1), 1), {}, SecretStr(""), "owner/repository", private=True)
# Labels that every self-hosted runner gets by itself, and those of GitHub's own runners.
_GITHUBS_OWN = re.compile(r"self-hosted|linux|windows|macos|x64|arm|arm64|(ubuntu|windows|macos)-(latest|\d[\w.-]*)")


def make_rules(settings: RoutingSettings, config: Config) -> Rules:
    """Bring settings and file together; what the environment says wins over the file's defaults."""
    github = github_domains(settings.github_enterprise_domain)
    policies = {
        name: Network(name, tuple(policy.domains), tuple(policy.cidrs)) for name, policy in config.networks.items()
    }
    said: dict[str, object] = {}
    if settings.block_network:
        said["network"] = GITHUB_ONLY
    elif settings.allowed_cidrs:
        policies[ALLOWED_CIDRS] = Network(ALLOWED_CIDRS, (), settings.allowed_cidrs)
        said["network"] = ALLOWED_CIDRS
    if settings.runner_group_id:
        said["runner_group"] = settings.runner_group_id
    if settings.modal_region:
        said["region"] = settings.modal_region
    if settings.cache_volume_name:
        said["cache"] = settings.cache_volume_name
    profiles, limits = config.profiles, config.limits
    if settings.block_network:
        # It wins over profiles and labels too.
        profiles = {name: each.model_copy(update={"network": GITHUB_ONLY}) for name, each in profiles.items()}
        limits = limits.model_copy(update={"networks": ()})
    env = {name: value.get_secret_value() for name, value in settings.sandbox_extra_env.items()}
    named = tuple(glob for route in config.routes if route.profile for glob in route.repositories if is_full_name(glob))
    return Rules(
        deployment=settings.modal_app_name,
        labels=settings.runner_label,
        policy=Policy(settings.allowed_repos, named),
        defaults=config.defaults.model_copy(update={**said, "env": {**config.defaults.env, **env}}),
        profiles=profiles,
        networks=networks(github, policies),
        images=frozenset({"default", *config.images}),
        routes=config.routes,
        limits=limits,
        caches=Caches(settings.cache_volume_name or "modal-runner-cache", config.cache.shared, config.cache.branches),
        passes=(*config.labels.pass_, *(glob for route in config.routes for glob in route.labels)),
        beside=config.labels.beside,
    )


def warnings(settings: RoutingSettings, config: Config) -> list[str]:
    """What is allowed and may not be meant."""
    found = [
        f"ALLOWED_CIDRS: Modal cannot reach the private range {each} under any setting; it is passed on as written"
        for each in settings.allowed_cidrs
        if is_private(each)
    ]
    found += [
        f"RUNNER_LABEL: {name!r} is a word of GitHub's own, and selects every job of the organisation that has it"
        for name in settings.runner_label
        if _GITHUBS_OWN.fullmatch(name.lower())
    ]
    if isinstance(settings, Settings):
        found += [f"{name}: there were blanks or line ends around it, which are left out" for name in settings.trimmed]
    rules = make_rules(settings, config)
    if len(hook_rules(_ANY_SANDBOX, rules)) > LONGEST:
        found.append(
            "ALLOWED_REPOS and the routes are together longer than a variable of a Modal sandbox may be, so that none "
            "can be started: write fewer names, with wildcards"
        )
    if settings.block_network and settings.allowed_cidrs:
        found.append("BLOCK_NETWORK is set, so ALLOWED_CIDRS is not used")
    if settings.block_network:
        found += [
            f"profiles.{name}: BLOCK_NETWORK is set and wins over its network {profile.network!r}"
            for name, profile in config.profiles.items()
            if profile.network not in {None, GITHUB_ONLY}
        ]
    if settings.runner_sha256 is None and settings.runner_version != RUNNER_VERSION:
        found.append(
            "RUNNER_SHA256 is not set: the runner's archive is taken as it comes; `modal-runner redeploy` sets it, "
            "`modal-runner runner-version` prints it"
        )
    if isinstance(settings, Settings) and settings.webhook_secret_old is not None:
        found.append("WEBHOOK_SECRET_OLD is still taken: `modal-runner rotate-secret` was stopped; run it again")
    found += [
        f"{source}: jobs with no more than the labels {', '.join(plain)} are given its runners that wait, too; write "
        'warm_labels in one label, like ["modal/profile=name"], which no such job has'
        for source, plain in {seat.source: _plain(seat, rules) for seat in seats_of(rules)}.items()
        if plain
    ]
    grouped = settings.runner_group_id is not None
    found += [
        f"profiles.{name}: its volumes, secrets and proxy rest on labels and the job-started hook alone "
        '(trust = "labels")'
        for name, profile in config.profiles.items()
        if profile.needs_boundary
        and profile.trust == "labels"
        and not (profile.runner_group or grouped or name in _grouped(config))
    ]
    found += [f"{each}; until then they are kept back" for each in unbounded(settings, config)]
    if config.defaults.needs_boundary:
        found.append(
            "defaults: its secrets, volumes and proxy go to every job of every repository that may use the runners"
        )
    cached = settings.cache_volume_name or any(each.cache for each in (config.defaults, *config.profiles.values()))
    if cached and not config.cache.shared and not grouped:
        found.append(
            "the caches of single repositories rest on labels and the job-started hook alone; "
            "a runner group keeps the jobs of others away"
        )
    found += [
        f"routes.{route.name}: the code of forks runs there, and gets what profile {route.profile!r} gives"
        for route in config.routes
        if route.forks and route.profile and config.profiles[route.profile].gives_own
    ]
    found += _unreached(config)
    if cached and config.cache.shared:
        found.append("cache.shared: a job of any repository can write what the jobs of the others run")
    return found


def caps_on(settings: RoutingSettings, config: Config, profile: str | None) -> dict[str, int]:
    """The settings that bound how many runners of a profile there may be at once, for a repository and in all."""
    given = config.profiles.get(profile or "")
    said = {
        "MAX_CONCURRENT_PER_REPO": settings.max_concurrent_per_repo,
        f"[profiles.{profile}] max_concurrent": given.max_concurrent if given else None,
        "MAX_CONCURRENT": settings.max_concurrent,
    }
    return {name: most for name, most in said.items() if most is not None}


def _unreached(config: Config) -> list[str]:
    """Routes that an earlier one leaves nothing to, and profiles that nothing leads to."""
    found = []
    for number, later in enumerate(config.routes):
        earlier = next((each for each in config.routes[:number] if each.takes_all_of(later)), None)
        if earlier is not None:
            found.append(f"routes.{later.name}: no job comes to it, for routes.{earlier.name} before it takes them all")
    led_to = {each.profile for each in config.routes}
    found += [
        f"profiles.{name}: no route leads to it, and what gives volumes, variables, secrets or a runner group cannot "
        "be asked for by a label"
        for name, profile in config.profiles.items()
        if profile.private and name not in led_to
    ]
    return found


def unbounded(settings: RoutingSettings, config: Config) -> list[str]:
    """The profiles whose secrets rest on nothing, a sentence each: they are not given, and nothing new is deployed."""
    defaults = make_rules(settings, config).defaults
    grouped = _grouped(config)
    return [
        f"profiles.{name}: it gives secrets, volumes or a proxy, and any job with the right labels can take its "
        'runners: write runner_group = ID, of a group that admits its repositories alone, or trust = "labels" if '
        'every repository may have them (on a personal account trust = "repository")'
        for name, profile in config.profiles.items()
        if profile.needs_boundary
        and profile.trust != "repository"
        and not (name in grouped or has_boundary(profile, defaults))
    ]


def _grouped(config: Config) -> set[str]:
    """The profiles to which only routes lead that give a runner group."""
    routes = {name: [each for each in config.routes if each.profile == name] for name in config.profiles}
    return {name for name, led in routes.items() if led and all(each.runner_group for each in led)}


def _plain(seat: Seat, rules: Rules) -> tuple[str, ...]:
    """Labels of a seat's runner that are enough to be one of ours, if it has more."""
    plain = tuple(each for each in seat.labels if each.lower() in {"self-hosted", *rules.labels})
    return plain if len(plain) < len(seat.labels) and set(rules.labels) & {each.lower() for each in plain} else ()


def unfit(settings: RoutingSettings, config: Config) -> list[str]:
    """Where runners are to wait that would fit no job, a sentence each."""
    rules = make_rules(settings, config)
    seats = seats_of(rules)
    of_profile = Counter(
        routed.profile
        for seat in seats
        if isinstance(routed := route(seat.event(Place(Scope(seat.owner), 1)), rules), Admit)
    )
    over = [
        f"profiles.{name}: {of_profile[name]} are to wait, and max_concurrent lets {each.max_concurrent} be there"
        for name, each in config.profiles.items()
        if each.max_concurrent is not None and of_profile[name] > each.max_concurrent
    ]
    if settings.max_concurrent is not None and len(seats) > settings.max_concurrent:
        over.append(f"{len(seats)} runners are to wait, and MAX_CONCURRENT lets {settings.max_concurrent} be there")
    found = {(seat.source, why): None for seat in seats if (why := problem(seat, rules)) is not None}
    return [*(f"{source}: {why}" for source, why in found), *over]


def refuse_unsound(settings: RoutingSettings, config: Config) -> None:
    """Go no further where secrets rest on nothing, or runners would wait in vain.

    Raises:
        ConfigError: says which, and what to write.
    """
    if problems := unbounded(settings, config) + unfit(settings, config):
        raise ConfigError(problems)


def secrets_of(config: Config) -> list[str]:
    """The values of variables in the file, for the log's redaction; what is short is no secret."""
    profiles = [config.defaults, *config.profiles.values()]
    values = [value for each in profiles for value in (*each.env.values(), *each.secret_env.values())]
    return [value for value in values if len(value) >= SECRET_LENGTH]

"""The administrator's file, `modal-runner.toml`, and the rules that it and the settings make together."""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from github_app.errors import ConfigError
from github_app.model import Network, SandboxSpec, Shape
from github_app.routing.admission import KEPT, LONGEST, hook_rules
from github_app.routing.caches import Caches
from github_app.routing.catalog import RUNNER_VERSION
from github_app.routing.globs import matches_exactly
from github_app.routing.network import (
    ALLOWED_CIDRS,
    GITHUB_ONLY,
    MOST_DOMAINS,
    OPEN,
    github_domains,
    is_private,
    networks,
)
from github_app.routing.policy import Policy, is_full_name
from github_app.routing.profiles import Cidr, Domain, Limits, Name, Profile, Route
from github_app.routing.route import Rules, has_boundary
from github_app.settings import pasted
from github_app.settings.settings import SECRET_LENGTH, RoutingSettings, Settings, load_settings

FILE = "modal-runner.toml"
_ANY_SANDBOX = SandboxSpec("modal-1-1", Shape((1, 1), (1, 1), 1), {}, SecretStr(""), "owner/repository", private=True)
_WORDS = ConfigDict(extra="forbid", frozen=True)
# Labels that every self-hosted runner gets by itself, and those of GitHub's own runners.
_GITHUBS_OWN = re.compile(r"self-hosted|linux|windows|macos|x64|arm|arm64|(ubuntu|windows|macos)-(latest|\d[\w.-]*)")


class NetworkPolicy(BaseModel):
    """What may be reached beside GitHub's own domains."""

    model_config = _WORDS

    domains: tuple[Domain, ...] = ()
    cidrs: tuple[Cidr, ...] = ()


class ImageSource(BaseModel):
    """An image beside the default one: the default's recipe on another base, and what is added to it."""

    model_config = _WORDS

    base: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*$")] | None = None
    apt: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]*(=\S+)?$")], ...] = ()
    pip: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\s'\"]*$")], ...] = ()
    dockerfile: tuple[str, ...] = ()


class CacheRules(BaseModel):
    """`shared`: one volume for all repositories. A job of any of them can then write what the others run.

    `branches`: globs of those that share the default branch's volume; all others share another one.
    """

    model_config = _WORDS

    shared: bool = False
    branches: tuple[str, ...] = ()


class LabelRules(BaseModel):
    """`pass`: globs of labels that say nothing about the machine, though they read so, like `gpu-team`.

    `beside`: globs of the labels that alone may stand beside ours, which a runner of ours then has; unset: any.
    """

    model_config = _WORDS

    pass_: tuple[str, ...] = Field((), alias="pass")
    beside: tuple[str, ...] | None = None


class Config(BaseModel):
    """The file. Everything in it may be left out."""

    model_config = _WORDS

    defaults: Profile = Profile()
    limits: Limits = Limits()
    cache: CacheRules = CacheRules()
    labels: LabelRules = LabelRules(**{"pass": ()})
    networks: dict[Name, NetworkPolicy] = {}
    images: dict[Name, ImageSource] = {}
    profiles: dict[Name, Profile] = {}
    routes: tuple[Route, ...] = ()


def load_config(path: Path | None) -> Config:
    """Read the file; with no path, `modal-runner.toml` of this directory, or nothing.

    Raises:
        ConfigError: lists everything that is wrong, with line numbers.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read ({type(error).__name__})"]) from None
    return parse_config(text, str(path))


def load_all() -> tuple[Settings, Config]:
    """Read the environment and the file.

    Raises:
        ConfigError: lists everything that is wrong with either.
    """
    problems: list[str] = []
    named = os.environ.get("MODAL_RUNNER_CONFIG", "").strip()
    path = pasted.path(Path(named)) if named else None
    try:
        settings = load_settings()
    except ConfigError as error:
        problems += error.problems
    try:
        config = load_config(path)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return settings, config


def parse_config(text: str, name: str = FILE) -> Config:
    """Read the file's text; `name` stands in messages.

    Raises:
        ConfigError: lists everything that is wrong, with line numbers.
    """
    raw: dict[str, Any] = {}
    try:
        raw = tomllib.loads(text)
        found = Config.model_validate(raw)
    except tomllib.TOMLDecodeError as error:
        # Its text is the only place where Python 3.11 to 3.13 tell the line.
        line = re.search(r"at line (\d+)", str(error))
        raise ConfigError([f"{name}:{line[1] if line else 1}: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: it is nested too deep"]) from None
    except ValidationError as error:
        problems = [(each["loc"], _sentence(each["type"], each["msg"])) for each in error.errors()]
        raise ConfigError(_numbered(name, text, problems + _unknown_names(raw))) from None
    if wrong := _unknown_names(raw) + _contradictions(found):
        raise ConfigError(_numbered(name, text, wrong))
    return found


Location = tuple[int | str, ...]


def _numbered(name: str, text: str, problems: list[tuple[Location, str]]) -> list[str]:
    return [
        f"{name}:{_line(text, location)}: {'.'.join(str(part) for part in location)}: {sentence}"
        for location, sentence in problems
    ]


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such key"
    if kind == "tuple_type":
        return "has to be a list"
    return message.removeprefix("Value error, ")


def _line(text: str, location: Location) -> int:
    """The line of the longest part of a location that can be found; tables and keys as they are usually written."""
    table: list[str] = []
    counts: dict[str, int] = {}
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[{1,2})\s*([^\]]+?)\s*\]", line)
        pair = re.match(r"\s*([A-Za-z0-9_.\"'/-]+)\s*=", line)
        if header:
            table = [part.strip("\"' ") for part in header[2].split(".")]
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table.append(str(counts[header[2]]))
            here = table
        elif pair:
            here = [*table, *(part.strip("\"'") for part in pair[1].split("."))]
        else:
            continue
        if len(here) > depth and [str(part) for part in location[: len(here)]] == here:
            best, depth = number, len(here)
    return best


def _unknown_names(raw: dict[str, Any]) -> list[tuple[Location, str]]:
    """Names of networks, images and profiles that the file does not have, told beside whatever else is wrong in it."""

    def table(kind: str) -> dict[str, Any]:
        found = raw.get(kind)
        return found if isinstance(found, dict) else {}

    known = {
        "network": {OPEN, GITHUB_ONLY, *table("networks")},
        "image": {"default", *table("images")},
        "profile": set(table("profiles")),
    }
    routes = raw.get("routes")
    places: list[tuple[Location, Any]] = [(("defaults",), raw.get("defaults"))]
    places += [(("profiles", name), each) for name, each in table("profiles").items()]
    places += [(("routes", number), each) for number, each in enumerate(routes if isinstance(routes, list) else [])]
    return [
        ((*location, kind), f"there is no {kind} {each[kind]!r} in this file")
        for location, each in places
        if isinstance(each, dict)
        for kind in known
        if isinstance(each.get(kind), str) and each[kind] not in known[kind]
    ]


def _contradictions(config: Config) -> list[tuple[Location, str]]:
    """What each key allows and the file as a whole does not."""
    found: list[tuple[Location, str]] = []
    for number, route in enumerate(config.routes):
        if (route.profile is None) == (route.refuse is None):
            found.append((("routes", number), "a route has either a profile or a sentence to refuse with"))
        given = config.profiles.get(route.profile or "")
        if given is not None and given.private and route.workflow is not None and route.file is None:
            sentence = "is a name that every author of a workflow can choose; write its file, like 'deploy.yml'"
            found.append((("routes", number, "workflow"), f"{route.workflow!r} {sentence}"))
    found += [
        (("defaults", name), "belongs to a profile: what is in [defaults] goes to every job")
        for name in ("secret_env", "trust")
        if getattr(config.defaults, name)
    ]
    found += [
        (("profiles", name, "secret_env"), f"{variable} stays in the environment of all that runs; give it in env")
        for name, profile in config.profiles.items()
        for variable in profile.secret_env
        if any(matches_exactly(variable, kept) for kept in KEPT)
    ]
    if unknown_image := [each for each in config.limits.images or () if each not in {"default", *config.images}]:
        found.append((("limits", "images"), f"there is no image {unknown_image[0]!r} in this file"))
    known = {OPEN, GITHUB_ONLY, *config.networks}
    if config.defaults.max_concurrent is not None:
        found.append((("defaults", "max_concurrent"), "belongs to a profile; MAX_CONCURRENT caps all runners"))
    if unknown := [each for each in config.limits.networks or () if each not in known]:
        found.append((("limits", "networks"), f"there is no network {unknown[0]!r} in this file"))
    found += [
        (("defaults", name), f"is more than limits.{name}")
        for name in ("cpu", "memory", "timeout")
        if name in config.limits.model_fields_set
        and (getattr(config.defaults, name) or 0) > getattr(config.limits, name)
    ]
    reserved = [("networks", name) for name in (OPEN, GITHUB_ONLY, ALLOWED_CIDRS) if name in config.networks]
    reserved += [("images", "default")] if "default" in config.images else []
    found += [(place, "this name has a meaning of its own; choose another") for place in reserved]
    for name, policy in config.networks.items():
        if len({*github_domains(None), *policy.domains}) > MOST_DOMAINS:
            found.append(
                (("networks", name), f"with GitHub's own these are more than {MOST_DOMAINS} domains, Modal's most")
            )
    return found


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
    grouped = settings.runner_group_id is not None
    found += [
        f'profiles.{name}: its volumes and secrets rest on labels and the job-started hook alone (trust = "labels")'
        for name, profile in config.profiles.items()
        if profile.needs_boundary and profile.trust == "labels" and not (profile.runner_group or grouped)
    ]
    found += [f"{each}; until then they are kept back" for each in unbounded(settings, config)]
    if config.defaults.secrets or config.defaults.volumes:
        found.append("defaults: its secrets and volumes go to every job of every repository that may use the runners")
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
    if cached and config.cache.shared:
        found.append("cache.shared: a job of any repository can write what the jobs of the others run")
    return found


def unbounded(settings: RoutingSettings, config: Config) -> list[str]:
    """The profiles whose secrets rest on nothing, a sentence each: they are not given, and nothing new is deployed."""
    defaults = make_rules(settings, config).defaults
    return [
        f"profiles.{name}: it gives secrets or volumes, and any job with the right labels can take its runners: write "
        'runner_group = ID, of a group that admits its repositories alone, or trust = "labels" if every repository may '
        'have them (on a personal account trust = "repository")'
        for name, profile in config.profiles.items()
        if profile.needs_boundary and profile.trust != "repository" and not has_boundary(profile, defaults)
    ]


def refuse_unbounded(settings: RoutingSettings, config: Config) -> None:
    """Go no further where secrets rest on nothing.

    Raises:
        ConfigError: says which, and what to write.
    """
    if problems := unbounded(settings, config):
        raise ConfigError(problems)


def secrets_of(config: Config) -> list[str]:
    """The values of variables in the file, for the log's redaction; what is short is no secret."""
    profiles = [config.defaults, *config.profiles.values()]
    values = [value for each in profiles for value in (*each.env.values(), *each.secret_env.values())]
    return [value for value in values if len(value) >= SECRET_LENGTH]

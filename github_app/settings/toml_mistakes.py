"""What is wrong in the administrator's file, and on which of its lines."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from github_app.routing.admission import KEPT
from github_app.routing.globs import matches_exactly
from github_app.routing.network import (
    ALLOWED_CIDRS,
    GITHUB_ONLY,
    MOST_DOMAINS,
    OPEN,
    github_domains,
)
from github_app.routing.profiles import Waiting
from github_app.settings.plain_words import in_plain_words
from github_app.settings.toml_file import Config

Location = tuple[int | str, ...]


def numbered(name: str, text: str, problems: list[tuple[Location, str]]) -> list[str]:
    """Each problem with its place, `modal-runner.toml:7: routes.0: ...`, in the order of the lines."""
    found = [(_line(text, location), ".".join(str(part) for part in location), each) for location, each in problems]
    return [f"{name}:{line}: {place}: {each}" for line, place, each in sorted(found, key=lambda problem: problem[0])]


def placed(name: str, text: str, problems: Sequence[str]) -> list[str]:
    """Sentences that begin with a profile or a route, like `profiles.train: ...`, with their lines."""
    found = []
    for each in problems:
        place, colon, rest = each.partition(": ")
        location = tuple(place.split("."))
        known = colon and location[0] in {"profiles", "routes"} and len(location) == 2
        found.append(f"{name}:{_line(text, location)}: {place}: {rest}" if known else each)
    return found


def in_order(name: str, problems: Sequence[str]) -> list[str]:
    """Problems with their places, in the order of the lines; those of no line come first."""

    def line_of(problem: str) -> int:
        number = problem.removeprefix(f"{name}:").partition(":")[0]
        return int(number) if problem.startswith(f"{name}:") and number.isdecimal() else 0

    return sorted(problems, key=line_of)


def without_mistakes(raw: dict[str, Any], wrong: Sequence[Location]) -> dict[str, Any]:
    """What profiles rest on, without the profiles and routes in which something is wrong, and what these lead to.

    Empty where what is wrong may be meant for every profile.
    """
    if any(_is_for_all(place) for place in wrong):
        return {}
    routes, profiles = raw.get("routes", []), raw.get("profiles", {})
    broken = {place[1] for place in wrong if place[0] == "routes"}
    lost = {place[1] for place in wrong if place[0] == "profiles"}
    lost |= {routes[number].get("profile") for number in broken if isinstance(routes[number], dict)}
    return {
        "defaults": raw.get("defaults", {}),
        "profiles": {name: each for name, each in profiles.items() if name not in lost},
        "routes": [route for number, route in enumerate(routes) if number not in broken],
    }


def _is_for_all(place: Location) -> bool:
    """Tell whether something is wrong where the boundaries of every profile may be said, or a table's name is."""
    table = str(place[0])
    if len(place) > 1:
        return table == "defaults"
    return table == "profiles" or bool(get_close_matches(table, ("defaults", "routes"), n=1, cutoff=0.6))


def sentence(kind: str, message: str, location: Location = (), context: dict[str, Any] | None = None) -> str:
    """What pydantic found, in words that need no pydantic."""
    if kind == "extra_forbidden":
        nearest = get_close_matches(str(location[-1]), _keys_at(location[:-1]), n=1, cutoff=0.5) if location else []
        return f"there is no such key; {nearest[0]!r} was meant" if nearest else "there is no such key"
    return in_plain_words(kind, message, context)


def _keys_at(location: Location) -> list[str]:
    """The keys that there are at a place in the file."""
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is None:
            # A name of a profile's, or a number of a route's: the table is of the kind that was found already.
            continue
        kinds = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
        model = next((each for each in kinds if issubclass(each, BaseModel)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


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
        wanted = [str(part) for part in location]
        if len(here) > len(wanted) > depth and here[: len(wanted)] == wanted:
            # A table that is there by what stands in it alone.
            best, depth = number, len(wanted)
        if len(here) > depth and [str(part) for part in location[: len(here)]] == here:
            best, depth = number, len(here)
    return best


def unknown_names(raw: dict[str, Any]) -> list[tuple[Location, str]]:
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


def _warm_mistakes(config: Config) -> list[tuple[Location, str]]:
    said: list[tuple[Location, Waiting]] = [(("profiles", name), each) for name, each in config.profiles.items()]
    said += [(("routes", number), each) for number, each in enumerate(config.routes)]
    found: list[tuple[Location, str]] = []
    for place, each in said:
        if each.warm is None and (each.warm_labels or each.warm_scope or each.warm_hours):
            found.append((place, "how many runners are to wait is not said: write warm = 1"))
        if len({scope.lower() for scope in each.warm_scope}) < len(each.warm_scope):
            found.append(((*place, "warm_scope"), "a scope stands here twice"))
        if each.warm is not None and not each.warm_scope:
            found.append(((*place, "warm"), 'it is not said where: write warm_scope = "your-organisation"'))
    names = Counter(route.name for route in config.routes)
    for number, route in enumerate(config.routes):
        if route.warm is not None and names[route.name] > 1:
            found.append((("routes", number, "warm"), f"another route has the name {route.name!r}, too"))
        if route.warm is not None and route.refuse is not None:
            found.append((("routes", number, "warm"), "this route gives no machine to wait on: it refuses"))
        if route.warm is not None and not route.warm_labels and any(set(each) & set("*?[") for each in route.labels):
            found.append((("routes", number, "warm"), "its labels have wildcards: write warm_labels = [...] in full"))
    if any(getattr(config.defaults, name) for name in Waiting.model_fields):
        found.append((("defaults", "warm"), "belongs to a profile or a route"))
    return found


def contradictions(config: Config) -> list[tuple[Location, str]]:
    """What each key allows and the file as a whole does not."""
    found: list[tuple[Location, str]] = []
    for number, route in enumerate(config.routes):
        if (route.profile is None and route.runner_group is None) == (route.refuse is None):
            why = "a route has either a profile or a sentence to refuse with, or a runner_group alone"
            found.append((("routes", number), why))
        given = config.profiles.get(route.profile or "")
        if given is not None and given.private and route.workflow is not None and route.file is None:
            why = "is a name that every author of a workflow can choose; write its file, like 'deploy.yml'"
            found.append((("routes", number, "workflow"), f"{route.workflow!r} {why}"))
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
    found += _warm_mistakes(config)
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

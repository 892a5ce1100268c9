"""A job's matrix: which combinations it has, and what each is called."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from github_app.simulator.workflow.values import ExpressionError, equal, to_text

# https://docs.github.com/en/actions/reference/limits: jobs that one matrix makes in a run.
MAX_COMBINATIONS = 256
MAX_NAME = 100

Combination = dict[str, Any]


class MatrixError(ExpressionError):
    """A matrix that makes no jobs, or none that GitHub would start."""


def combinations(matrix: object) -> list[Combination]:
    """The combinations of a matrix without expressions: axes multiplied, `exclude` taken out, `include` laid over."""
    if not isinstance(matrix, Mapping):
        raise MatrixError("a matrix must be a mapping of names to lists")
    axes = {name: _axis(name, values) for name, values in matrix.items() if name not in ("include", "exclude")}
    size = 1
    for values in axes.values():
        size *= len(values)
    if size > MAX_COMBINATIONS:
        raise _too_many(size)
    excludes = _entries(matrix, "exclude")
    base = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())] if axes else []
    made = _include([each for each in base if not _excluded(each, excludes)], _entries(matrix, "include"), set(axes))
    if not made:
        raise MatrixError("the matrix has no combinations")
    if len(made) > MAX_COMBINATIONS:
        raise _too_many(len(made))
    return made


def _too_many(size: int) -> MatrixError:
    return MatrixError(f"the matrix has {size} combinations; GitHub starts at most {MAX_COMBINATIONS}")


def _axis(name: str, values: object) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise MatrixError(f"the matrix axis {name!r} must be a list with at least one value")
    return values


def _entries(matrix: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = matrix.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise MatrixError(f"the matrix's {key!r} must be a list of mappings")
    return entries


def _excluded(combination: Combination, excludes: list[Mapping[str, Any]]) -> bool:
    return any(_matches(combination, entry) for entry in excludes)


def _matches(combination: Combination, entry: Mapping[str, Any]) -> bool:
    return all(key in combination and same(combination[key], value) for key, value in entry.items())


def same(left: object, right: object) -> bool:
    """Whether two matrix values are equal, part by part."""
    match left, right:
        case Mapping(), Mapping():
            return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        case list(), list():
            return len(left) == len(right) and all(map(same, left, right))
    return equal(left, right)


def _include(base: list[Combination], includes: list[Mapping[str, Any]], axes: set[str]) -> list[Combination]:
    """Each entry is added to every combination whose own axis values it would not change; else it is one more."""
    added: list[Combination] = []
    for entry in includes:
        own = {key: value for key, value in entry.items() if key in axes}
        hosts = [combination for combination in base if _matches(combination, own)]
        for host in hosts:
            host.update(entry)
        if not hosts:
            added.append(dict(entry))
    return base + added


def display_name(name: str, combination: Mapping[str, Any]) -> str:
    """`test (3.11, ubuntu)`: the name and the scalar values of the combination."""
    values = [text for text in map(to_text, _leaves(combination)) if text]
    full = f"{name} ({', '.join(values)})" if values else name
    return full if len(full) <= MAX_NAME else full[: MAX_NAME - 3] + "..."


def _leaves(value: object) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value

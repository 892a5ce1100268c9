"""Charts as plain SVG: what is drawn where. No library, no script: a screen reader gets the table beside it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 200
_LEFT, _BOTTOM, _TOP = 56, 24, 12


@dataclass(frozen=True)
class Mark:
    """A line across, or a place on the lower edge, and what stands beside it."""

    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar, and what it says."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Chart:
    """What a template draws. `lines` are points as SVG's polyline takes them, by name; pieces, where values miss."""

    levels: tuple[Mark, ...]
    places: tuple[Mark, ...]
    bars: tuple[Bar, ...] = ()
    lines: Mapping[str, tuple[str, ...]] | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT


def bars(labels: Sequence[str], values: Sequence[float], unit: str) -> Chart:
    """One bar for each value; `unit` is put before it when it is a currency, else behind."""
    top = _top(values)
    step = (WIDTH - _LEFT) / max(1, len(values))
    drawn = []
    for n, (label, value) in enumerate(zip(labels, values, strict=True)):
        height = (HEIGHT - _BOTTOM - _TOP) * value / top
        drawn.append(
            Bar(
                round(_LEFT + n * step + step * 0.15, 1),
                round(HEIGHT - _BOTTOM - height, 1),
                round(step * 0.7, 1),
                round(height, 1),
                f"{label}: {_with_unit(value, unit)}",
            )
        )
    return Chart(_levels(top, unit), _places(labels, step), tuple(drawn))


def lines(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> Chart:
    """One line for each series; None is a gap."""
    top = _top([value for each in series.values() for value in each if value is not None])
    step = (WIDTH - _LEFT) / max(1, len(labels))
    drawn = {}
    for name, values in series.items():
        pieces: list[list[str]] = [[]]
        for n, value in enumerate(values):
            if value is None:
                pieces.append([])
                continue
            x = _LEFT + n * step + step / 2
            y = HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top
            pieces[-1].append(f"{x:.1f},{y:.1f}")
        drawn[name] = tuple(" ".join(piece) for piece in pieces if piece)
    return Chart(_levels(top, unit), _places(labels, step), lines=drawn)


def _top(values: Sequence[float]) -> float:
    """A round number that no value is above."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return 1.0
    power = 10.0 ** len(str(int(highest))) / 10 if highest >= 1 else 0.01
    return next(power * n for n in (1, 2, 2.5, 4, 5, 10, 20, 40, 60, 100) if power * n >= highest)


def _levels(top: float, unit: str) -> tuple[Mark, ...]:
    return tuple(
        Mark(round(HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * share, 1), _with_unit(top * share, unit))
        for share in (0.0, 0.5, 1.0)
    )


def _places(labels: Sequence[str], step: float) -> tuple[Mark, ...]:
    """At most eight of the labels, evenly."""
    every = max(1, -(-len(labels) // 8))
    return tuple(Mark(round(_LEFT + n * step + step / 2, 1), label) for n, label in enumerate(labels) if n % every == 0)


def _with_unit(value: float, unit: str) -> str:
    return f"${value:,.2f}" if unit == "$" else f"{value:g} {unit}"

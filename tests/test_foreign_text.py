"""One nasty string, through every field that a stranger can fill, to everything that is shown."""

import io
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from github_app.cli.doctor import _show
from github_app.foreign_text import code, coloured, fenced, visible
from github_app.model import Claim, Halt, Hold, JobRecord, JobState
from github_app.operations.doctor.check import Check, Report
from github_app.store import CLAIMS, HALTS, JOBS, PARKED, REFUSALS
from github_app.store.notes import Parked, Refusal
from tests.worlds.records import event, job
from tests.worlds.steps import command
from tests.worlds.universe import universe

NASTY = (
    "x [/] [bold]b[/b] [link=https://evil.example]l[/link] \x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[2J\x1b[31mred"
    "\x9b2J\x90q\x9c \x08\r\u202eltr\u2066 \U000e0041 ``` ` <b onload=x> &lt; | @octocat [a](https://evil.example)"
)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def _records() -> dict[str, JobRecord]:
    """Jobs of which everything that is text is nasty, in each state that is shown."""
    text: dict[str, Any] = {"job_name": NASTY, "workflow": NASTY, "branch": NASTY, "sha": NASTY}
    labels = ("self-hosted", "modal", NASTY)
    running = msgspec.structs.replace(
        job(JobState.RUNNING), event=event(job_id=1, labels=labels, **text), runner_name=NASTY
    )
    queued = msgspec.structs.replace(job(), event=event(job_id=2, **text))
    halted = msgspec.structs.replace(job(), event=event(job_id=3, **text))
    return {"1": running, "2": queued, "3": halted}


async def test_what_strangers_wrote_neither_breaks_a_command_nor_steers_the_terminal() -> None:
    async with universe() as it:
        for key, record in _records().items():
            await it.store.put(JOBS, key, record)
        held = Claim("o", 0.0, hold=Hold.GITHUB_REFUSES, reason=NASTY, not_before=it.clock.now() + 10**6)
        await it.store.put(CLAIMS, "2-1", held)
        await it.store.put(HALTS, "3", Halt(it.clock.now(), NASTY))
        await it.store.put(REFUSALS, "4", Refusal("o", NASTY, "label", f"The label '{NASTY}' is none.", 0.0))
        await it.store.put(PARKED, "p", Parked(NASTY, 0.0))
        shown = await command(it, "status", FORCE_COLOR="1", COLUMNS="400")
        told = await command(it, "status", "--json")
        explained = await command(it, "explain", json.dumps(["modal", f"gpu:{NASTY}"]), FORCE_COLOR="1")

        assert (shown[0], told[0], explained[0]) == (0, 0, 1), (shown[2], told[2], explained[2])
        assert not _UNSEEN.search(re.sub(r"\x1b\[[0-9;]*m", "", shown[1]))
        assert "[/]" in shown[1]
        assert "\x1b[31m" not in shown[1]
        assert "]8;" not in shown[1]
        assert len(json.loads(told[1])["jobs"]) == 3
        assert not _UNSEEN.search(told[1])
        assert not _UNSEEN.search(explained[1] + explained[2])


def test_doctors_lines_show_what_is_foreign_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    _show(Report([Check("app", "failed", NASTY, NASTY)], [NASTY]))
    shown = capsys.readouterr().out

    assert not _UNSEEN.search(shown)
    assert shown.count("[bold]b[/b]") == 3


async def test_the_log_carries_it_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    from github_app import log

    log.configure()
    structlog.get_logger("x").warning("job_refused", reason=NASTY, labels=[NASTY])
    (line,) = capsys.readouterr().err.splitlines()

    assert not _UNSEEN.search(line)
    assert json.loads(line)["reason"] == NASTY


@pytest.mark.parametrize(
    ("printed", "left"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[0m"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("\x1b]52;c;ZXZpbA==\x07a", "a"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;1Ha\x1b[?1049h", "a"),
        ("\x1bPq#0\x1b\\a\x1b_x\x1b\\b\x1bcc", "abc"),
        ("\x9b2Ja\x9d0;t\x9cb", "ab"),
        ("\x1b]0;never ends", ""),
        ("over\rwritten\x08", "overwritten"),
        ("\x1b[8mhidden\x1b[5;31mblinks", "hiddenblinks"),
        ("\x1b[1;38;5;200mx", "\x1b[1;38;5;200mx\x1b[0m"),
    ],
)
def test_of_what_a_job_printed_colours_are_left_and_nothing_else(printed: str, left: str) -> None:
    assert coloured(printed) == left


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m31\x07\x9b\x9d\\PaH\r\n\u202e")))
def test_nothing_that_a_job_prints_leaves_more_than_colours(printed: str) -> None:
    assert not _UNSEEN.search(re.sub(r"\x1b\[[0-9;:]*m", "", coloured(printed)))


@given(st.text())
def test_what_is_visible_moves_no_cursor(text: str) -> None:
    assert not _UNSEEN.search(visible(text))


@given(st.text(alphabet="`a\n ~<"))
def test_nothing_leaves_a_block_or_a_span_of_markdown(text: str) -> None:
    fence, *inside, last = fenced(text).split("\n")
    assert (fence.removesuffix("text"), last) == (last, fence.removesuffix("text"))
    assert not any(line.strip().startswith(last) for line in inside)

    span = code(text)
    mark = re.match("`+", span)
    assert mark is not None
    assert "\n" not in span
    assert mark[0] not in re.findall("`+", span[len(mark[0]) : -len(mark[0])])


def test_a_table_of_rich_takes_no_markup_from_a_name() -> None:
    from github_app.cli.status import _text

    out = io.StringIO()
    Console(file=out, force_terminal=True, width=500).print(_text(NASTY))

    assert "[bold]b[/b]" in out.getvalue()

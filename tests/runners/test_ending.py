"""Ending a runner safely: four steps, and whatever says that it works leaves it alone."""

import time
from collections.abc import Sequence

import msgspec
import pytest

from github_app.clock import Clock
from github_app.errors import GitHubError, SandboxError
from github_app.model import Place, RunnerRecord, RunnerStatus, Witness
from github_app.runners.ending import Endings, end_safely
from github_app.store import ModalDictStore
from tests.worlds.records import runner

IDLE, WORKING, GONE = Witness.IDLE, Witness.WORKING, Witness.GONE


class Outside:
    """GitHub and Modal, as ending sees them: plays a script and notes what happens, in order."""

    def __init__(
        self,
        *,
        witnesses: Sequence[Witness] = (IDLE, IDLE, IDLE),
        removals: Sequence[int] = (204,),
        named: str | None = None,
        listed: str | None = None,
    ) -> None:
        self._listed = listed
        self._named = named
        self._witnesses = list(witnesses)
        self._removals = list(removals)
        self.happened: list[str] = []
        self.slept = 0.0

    async def find(self, name: str) -> str | None:
        """Look a sandbox up by name."""
        self.happened.append(f"find {name}")
        return self._named

    async def witness(self, sandbox_id: str) -> Witness:
        """Look inside."""
        self.happened.append(f"ask {sandbox_id}")
        return self._witnesses.pop(0)

    async def terminate(self, sandbox_id: str) -> None:
        """Kill."""
        self.happened.append(f"terminate {sandbox_id}")

    async def pay(self, place: Place) -> None:
        """Wait for the right to remove."""
        self.happened.append("pay")

    async def listed(self, place: Place, name: str, runner_id: int) -> RunnerStatus | None:
        """Look for a runner in GitHub's list."""
        self.happened.append(f"look for {name} in the list")
        return RunnerStatus(runner_id, name, self._listed) if self._listed else None

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister."""
        status = self._removals.pop(0)
        self.happened.append(f"remove {runner_id} of {place.scope}: {status}")
        if status != 204:
            raise GitHubError("removal", retryable=status >= 500, status=status)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.happened.append("wait")
        self.slept += seconds

    async def end(self, record: RunnerRecord | None = None, *, is_new: bool = False) -> bool:
        """End a runner here."""
        return await end_safely(record or runner(), runners=self, sandboxes=self, sleep=self.sleep, is_new=is_new)

    @property
    def terminated(self) -> bool:
        """Whether the sandbox was killed."""
        return any(step.startswith("terminate") for step in self.happened)


async def test_an_idle_runner_is_asked_deregistered_asked_again_and_terminated() -> None:
    outside = Outside()

    assert await outside.end() is True
    assert outside.happened == ["pay", "ask sb-1", "remove 7 of octo-org: 204", "wait", "ask sb-1", "terminate sb-1"]


async def test_at_least_three_seconds_lie_between_the_removal_and_the_second_question() -> None:
    outside = Outside()
    await outside.end()

    assert outside.slept >= 3


async def test_a_sandbox_that_works_is_left_alone_and_github_is_not_even_asked() -> None:
    outside = Outside(witnesses=[WORKING])

    assert await outside.end() is False
    assert outside.happened == ["pay", "ask sb-1"]


async def test_a_runner_into_whose_sandbox_someone_looks_is_left_alone() -> None:
    outside = Outside()
    endings = Endings(store=ModalDictStore("unused"), runners=outside, sandboxes=outside, clock=Clock())
    held = msgspec.structs.replace(runner(), held_until=time.time() + 60)
    assert not await endings.end(held)
    assert outside.happened == []


async def test_a_runner_that_github_calls_busy_is_left_alone() -> None:
    outside = Outside(removals=[422])

    assert await outside.end() is False
    assert not outside.terminated


async def test_a_worker_that_appears_during_the_wait_is_not_killed() -> None:
    outside = Outside(witnesses=[IDLE, WORKING])

    assert await outside.end() is False
    assert not outside.terminated


async def test_a_404_that_the_second_try_contradicts_by_succeeding_ends_the_runner() -> None:
    outside = Outside(removals=[404, 204])

    assert await outside.end() is True
    assert outside.terminated


async def test_two_404s_apart_in_time_and_the_list_prove_that_github_knows_no_such_runner() -> None:
    outside = Outside(removals=[404, 404])

    assert await outside.end() is True
    assert outside.happened[2:6] == ["remove 7 of octo-org: 404", "wait", "pay", "ask sb-1"]
    assert outside.terminated


async def test_two_404s_about_a_runner_that_github_lists_prove_nothing() -> None:
    """GitHub answered both removals of a waiting runner with a wrong 404, then gave it a job before it was ended."""
    outside = Outside(removals=[404, 404], listed="offline")

    assert await outside.end() is False
    assert not outside.terminated


async def test_a_404_and_then_busy_leaves_the_runner_alone() -> None:
    outside = Outside(removals=[404, 422])

    assert await outside.end() is False
    assert not outside.terminated


@pytest.mark.parametrize("removals", [[404, 404], [404, 204]])
async def test_after_any_removal_a_sandbox_that_works_lives_on(removals: list[int]) -> None:
    outside = Outside(witnesses=[IDLE, IDLE, WORKING], removals=removals)

    assert await outside.end() is False
    assert not outside.terminated


@pytest.mark.parametrize("removals", [[500], [403], [404, 500]])
async def test_a_removal_that_fails_for_another_reason_kills_nothing(removals: list[int]) -> None:
    outside = Outside(removals=removals)
    with pytest.raises(GitHubError):
        await outside.end()

    assert not outside.terminated


@pytest.mark.parametrize("silent_at", [1, 2])
async def test_a_witness_that_does_not_answer_kills_nothing(silent_at: int) -> None:
    class Silent(Outside):
        async def witness(self, sandbox_id: str) -> Witness:
            seen = await super().witness(sandbox_id)
            if sum(step.startswith("ask") for step in self.happened) == silent_at:
                raise SandboxError("asking", retryable=True)
            return seen

    outside = Silent()
    with pytest.raises(SandboxError):
        await outside.end()

    assert not outside.terminated


async def test_a_runner_whose_sandbox_is_gone_is_still_deregistered() -> None:
    outside = Outside(witnesses=[GONE, GONE, GONE])

    assert await outside.end() is True
    assert "remove 7 of octo-org: 204" in outside.happened


async def test_a_runner_that_has_no_sandbox_by_any_name_is_deregistered() -> None:
    outside = Outside()

    assert await outside.end(runner(sandbox_id=None)) is True
    assert "remove 7 of octo-org: 204" in outside.happened
    assert not any(step.startswith(("ask", "terminate")) for step in outside.happened)


async def test_a_runner_that_is_online_is_left_alone_where_modal_finds_no_sandbox_of_its_name() -> None:
    """Another container had just started it: its sandbox was not found by name yet, and took a job meanwhile."""
    outside = Outside(listed="online")

    assert await outside.end(runner(sandbox_id=None), is_new=True) is False
    assert not any(step.startswith("remove") for step in outside.happened)


async def test_what_github_calls_online_is_ended_where_modal_has_known_no_sandbox_for_minutes() -> None:
    """A sandbox had died before its id was recorded, and GitHub listed its runner as online on and on."""
    outside = Outside(listed="online")

    assert await outside.end(runner(sandbox_id=None)) is True
    assert any(step.startswith("remove") for step in outside.happened)


async def test_a_sandbox_that_was_never_recorded_is_found_by_name_and_asked_first() -> None:
    outside = Outside(witnesses=(Witness.WORKING,), named="sb-9")

    assert await outside.end(runner(sandbox_id=None)) is False
    assert outside.happened[-1] == "ask sb-9"


async def test_a_worker_that_appears_after_a_wrong_404_is_not_even_deregistered() -> None:
    outside = Outside(witnesses=[IDLE, WORKING], removals=[404, 204])

    assert await outside.end() is False
    assert sum(step.startswith("remove") for step in outside.happened) == 1


@pytest.mark.parametrize("removals", [[204], [404, 204], [404, 404]])
async def test_time_for_a_worker_to_appear_lies_between_a_removal_and_the_last_look(removals: list[int]) -> None:
    outside = Outside(removals=removals)
    await outside.end()

    last = outside.happened.index(f"remove 7 of octo-org: {removals[-1]}", len(outside.happened) - 5)
    assert [step for step in outside.happened[last + 1 :] if "list" not in step] == [
        "wait",
        "ask sb-1",
        "terminate sb-1",
    ]


async def test_nothing_is_waited_for_between_a_look_and_a_removal() -> None:
    outside = Outside(removals=[404, 404])
    await outside.end()
    removals = [n for n, step in enumerate(outside.happened) if step.startswith("remove")]

    assert {outside.happened[n - 1] for n in removals} == {"ask sb-1"}

"""GitHub's write limit, shared by several processes through the store."""

import asyncio
import bisect
import random
from dataclasses import dataclass, field

import modal
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from google.protobuf.message import Message
from grpclib import GRPCError, Status

from github_app.errors import GitHubError, StoreError
from github_app.github import Connection, Runners
from github_app.github.connection import SharedTransport
from github_app.model import JobEvent
from github_app.runners.lanes import HELD_S, LANES, PERIOD_S, POINTS, WRITE
from github_app.runners.notices import PacedNotices
from github_app.runners.write_limit import PacedRunners, Paid, WriteBudget
from github_app.simulate import containers
from github_app.simulate.deployment import Version
from github_app.simulate.run import simulate
from github_app.simulator.modal import SimulatedModal
from github_app.store import BUDGET, TOLD, ModalDictStore
from github_app.store.notes import Lane
from tests.worlds.clocks import standing_clock
from tests.worlds.modal_workshop import FailsWith, until
from tests.worlds.records import PLACE, event
from tests.worlds.simulated import plan_of, pushed
from tests.worlds.stub_github import Answer, StubGitHub

WRITES = POINTS // WRITE
_LIMIT_PER_MINUTE = LANES * WRITES


async def test_two_processes_never_make_more_writes_in_any_minute_than_github_allows(client: modal.Client) -> None:
    clock = standing_clock(1_000_003.0)
    assert clock.hand is not None
    store = ModalDictStore("app", client)
    budgets = [WriteBudget(store, clock), WriteBudget(store, clock)]
    writes: list[float] = []
    while len(writes) < 600:
        paid = await budgets[len(writes) % 2].spend(7)
        if isinstance(paid, Paid):
            writes.append(clock.now())
        else:
            assert paid > clock.now()
            clock.hand[0] = paid

    assert max(sum(t <= other < t + 60 for other in writes) for t in writes) <= _LIMIT_PER_MINUTE
    # The limit is used, too: 600 writes in less than five minutes.
    assert writes[-1] - writes[0] < 300


@pytest.mark.parametrize("seed", range(4))
async def test_no_minute_sees_more_writes_than_the_limit_whenever_github_hears_of_them_and_answers(
    client: modal.Client, seed: int
) -> None:
    """A write reaches GitHub within some seconds, and some are never answered. Three processes have their turns."""
    dice = random.Random(seed)  # noqa: S311 - chance, not a secret
    clock, store = standing_clock(1_000_003.0), ModalDictStore("app", client)
    assert clock.hand is not None
    budgets, budget = [WriteBudget(store, clock) for _ in range(3)], None
    heard: list[float] = []
    while len(heard) < 500:
        if budget is None or dice.random() < 0.02:
            budget = dice.choice(budgets)
        paid = await budget.spend(7)
        if isinstance(paid, float):
            clock.hand[0] = min(paid, clock.now() + 20.0)
            continue
        # It is sent as long as it is good, and GitHub hears of it then.
        sent = [at for at in (clock.now() + dice.choice([0.0, 0.1, 0.1, 10 * dice.random()]),) if paid.is_good(at)]
        heard.append(max(sent, default=clock.now()))
        if dice.random() < 0.9:
            clock.hand[0] = max(clock.now(), min(heard[-1], clock.now() + 0.5))
            if clock.now() >= heard[-1]:
                paid.answered(clock.now())

    heard.sort()
    assert max(bisect.bisect_left(heard, at + 60) - n for n, at in enumerate(heard)) <= LANES * WRITES
    assert heard[-1] - heard[0] < 300


async def test_a_lane_is_free_a_minute_after_its_last_answer_and_later_where_one_is_missing(
    client: modal.Client,
) -> None:
    clock = standing_clock(1_000_003.0)
    assert clock.hand is not None
    budget = WriteBudget(ModalDictStore("app", client), clock, lanes=2)
    began = clock.now()
    for number in range(2 * WRITES):
        paid = await budget.spend(7)
        assert isinstance(paid, Paid)
        clock.hand[0] += 0.25
        if number != WRITES:
            paid.answered(clock.now())

    # The first lane's last answer, and what is certain of the second.
    assert await budget.spend(7) == began + WRITES * 0.25 + PERIOD_S
    clock.hand[0] = began + WRITES * 0.25 + PERIOD_S
    assert [type(await budget.spend(7)) for _ in range(WRITES)] == [Paid] * WRITES
    assert await budget.spend(7) == began + WRITES * 0.25 + HELD_S


async def test_a_write_that_is_not_made_is_made_by_another(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    budget = WriteBudget(store, standing_clock(1_000_003.0), lanes=1)
    for _ in range(WRITES):
        paid = await budget.spend(7)
    assert isinstance(paid, Paid)
    # Twice is once.
    paid.give_back()
    paid.give_back()

    assert [type(await budget.spend(7)) for _ in range(2)] == [Paid, float]


async def test_what_is_given_back_after_all_was_spent_can_be_spent(client: modal.Client) -> None:
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0), lanes=1)
    paid = [each for each in [await budget.spend(7) for _ in range(WRITES + 1)] if isinstance(each, Paid)]
    paid[0].give_back()

    assert len(paid) == WRITES
    assert [type(await budget.spend(7)) for _ in range(2)] == [Paid, float]


@dataclass
class _FirstPut:
    """The first record of a lane takes a while, or fails; all others are as always."""

    fails: bool = False
    lasts: asyncio.Event = field(default_factory=asyncio.Event)
    seen: int = 0

    async def before(self, rpc: str, _request: Message) -> None:
        """Hold up or refuse."""
        if rpc == "DictUpdate":
            self.seen += 1
            if self.seen == 1 and self.fails:
                raise GRPCError(Status.PERMISSION_DENIED, "no")
            if self.seen == 1:
                await self.lasts.wait()

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Nothing."""


async def test_a_lane_that_hangs_holds_up_nobody(client: modal.Client, sleeping_modal: SimulatedModal) -> None:
    sleeping_modal.interceptor = held = _FirstPut()
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0))
    async with asyncio.timeout(8):
        paid = await asyncio.gather(*(budget.spend(7) for _ in range(WRITES)))
    held.lasts.set()

    assert [type(each) for each in paid] == [Paid] * WRITES


async def test_a_lane_that_fails_fails_nobody_and_a_store_that_fails_everybody(
    client: modal.Client, sleeping_modal: SimulatedModal
) -> None:
    sleeping_modal.interceptor = _FirstPut(fails=True)
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0))
    paid = await asyncio.gather(*(budget.spend(7) for _ in range(WRITES)))
    sleeping_modal.interceptor = FailsWith("DictUpdate", Status.PERMISSION_DENIED)
    failed = await asyncio.gather(*(budget.spend(7) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in paid] == [Paid] * WRITES
    assert [type(each) for each in failed] == [StoreError] * 3


@pytest.mark.parametrize(("before_the_end", "late"), [(0.5, False), (4.0, True)])
async def test_two_that_take_at_a_periods_end_never_have_the_same_lane(
    client: modal.Client, sleeping_modal: SimulatedModal, before_the_end: float, *, late: bool
) -> None:
    """One found nothing of the other, who was a moment late, or whose clock was behind."""
    store, ends_at = ModalDictStore("app", client), 1_000_020.0
    one, other = standing_clock(ends_at - before_the_end), standing_clock(ends_at + 0.1)
    assert one.hand is not None
    first, second = WriteBudget(store, one, lanes=1), WriteBudget(store, other, lanes=1)
    sleeping_modal.interceptor = held = _FirstPut()
    if not late:
        held.lasts.set()
    spending = asyncio.create_task(first.spend(7))
    if late:
        await until(lambda: held.seen == 1)
    paid = await second.spend(7)
    one.hand[0] = ends_at + 0.2
    held.lasts.set()

    # Who crosses may both find it taken, and come again.
    assert [type(each) for each in (paid, await spending)].count(Paid) <= 1


async def test_what_a_launch_reads_is_left_out_of_what_it_may_write(client: modal.Client) -> None:
    clock = standing_clock(1_000_003.0)
    budget = WriteBudget(ModalDictStore("app", client), clock)
    for _ in range(10 * POINTS):
        budget.read(7)
    count = sum([isinstance(await budget.spend(7), Paid) for _ in range(_LIMIT_PER_MINUTE)])

    assert count * WRITE == (LANES - 10) * POINTS


async def test_a_sweep_reads_with_lanes_that_launches_leave(client: modal.Client) -> None:
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0), lanes=2)

    assert (await budget.reserve_reads(7))[0] == POINTS
    assert [type(await budget.spend(7)) for _ in range(WRITES + 1)] == [*[Paid] * WRITES, float]
    assert (await budget.reserve_reads(7))[0] == 0


async def test_each_installation_has_a_budget_of_its_own(client: modal.Client) -> None:
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0))
    spent = [await budget.spend(1) for _ in range(_LIMIT_PER_MINUTE + 1)]

    assert isinstance(spent[-1], float)
    assert isinstance(await budget.spend(2), Paid)


async def test_a_limit_that_github_told_of_closes_the_budget_until_then(client: modal.Client) -> None:
    clock = standing_clock(1_000_003.0)
    budget = WriteBudget(ModalDictStore("app", client), clock)
    budget.heed(1, GitHubError("slow down", retryable=True, retry_after=42))

    assert await budget.spend(1) == clock.now() + 42


async def test_the_write_budget_costs_two_calls_for_the_writes_of_a_lane(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    budget = WriteBudget(store, standing_clock(1_000_003.0))
    for _ in range(WRITES):
        await budget.spend(1)

    assert len(await store.all(BUDGET)) == 1


async def test_a_lane_that_another_only_tries_is_free_as_soon_as_its_last_writes_are_old(client: modal.Client) -> None:
    """It was put and taken back, because its writes of the last period counted still; who crossed took it for taken."""
    store, clock = ModalDictStore("app", client), standing_clock(1_000_069.0 // PERIOD_S * PERIOD_S + 1)
    period = int(clock.now() // PERIOD_S)
    await store.put(BUDGET, f"7/{period - 1}/0", Lane("x", clock.now() - HELD_S + 5))
    await store.put(BUDGET, f"7/{period}/0", Lane("who tries", clock.now()))
    budget = WriteBudget(store, clock, lanes=1)
    again = await budget.spend(7)
    await store.take(BUDGET, f"7/{period}/0")
    assert isinstance(again, float)
    assert clock.hand is not None
    clock.hand[0] = again + 0.1

    assert again <= period * PERIOD_S + 10
    assert isinstance(await budget.spend(7), Paid)


async def test_a_lane_that_another_took_at_the_end_of_the_period_before_the_last_is_not_free_yet(
    client: modal.Client,
) -> None:
    store, period = ModalDictStore("app", client), 16_667
    taken_at = (period - 1) * PERIOD_S - 1
    await store.put(BUDGET, f"7/{period - 2}/0", Lane("x", taken_at))

    assert await WriteBudget(store, standing_clock(period * PERIOD_S + 5), lanes=1).spend(7) == taken_at + HELD_S


async def test_a_removal_is_not_sent_while_githubs_limit_is_reached(
    client: modal.Client, stub: StubGitHub, private_key: RSAPrivateKey
) -> None:
    connection = Connection(
        api_url=stub.url, app_id=1, private_key=private_key, transport=SharedTransport(trust_env=False)
    )
    clock = standing_clock(1_000_003.0)
    budget = WriteBudget(ModalDictStore("app", client), clock)
    paced = PacedRunners(Runners(connection, group_id=1), budget, clock)
    budget.heed(PLACE.installation_id, GitHubError("slow down", retryable=True, retry_after=300))
    with pytest.raises(GitHubError) as over:
        await paced.pay(PLACE)
    await connection.close()

    assert over.value.retryable
    assert over.value.retry_after == 300
    assert not stub.seen


async def test_a_runner_is_known_in_githubs_list_by_its_name_and_its_id(
    client: modal.Client, stub: StubGitHub, private_key: RSAPrivateKey
) -> None:
    """GitHub had lost a runner; a request that had hung then registered its name again, and it was never ended."""
    connection = Connection(
        api_url=stub.url, app_id=1, private_key=private_key, transport=SharedTransport(trust_env=False)
    )
    clock = standing_clock(1_000_003.0)
    runners = Runners(connection, group_id=1)
    paced = PacedRunners(runners, WriteBudget(ModalDictStore("app", client), clock), clock)
    listed = {"id": 8, "name": "modal-5-1", "status": "offline", "busy": False, "labels": []}
    stub.plan("", *[Answer(200, {"total_count": 1, "runners": [listed]})] * 2)
    known = [await paced.listed(PLACE, name, number) for name, number in [("modal-5-1", 8), ("modal-5-1", 7)]]
    await connection.close()

    assert [each is not None for each in known] == [True, False]


def test_a_burst_drains_oldest_first_at_githubs_pace_and_earns_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "VERSIONS", (Version(1000, 1000, None),))
    pushes = [pushed(number / 10, "octo-org/alpha", *[20.0] * 10) for number in range(20)]
    # It counts the writes of any minute.
    ran = simulate(plan_of(*pushes, calm_at=60.0))
    by_push = [number / 10 + min(ran.starts[10 * number : 10 * number + 10]) for number in range(20)]

    assert ran.violations == []
    assert len(ran.starts) == 200
    # More than the limit of a minute, so that the last had to wait for the next.
    assert max(ran.starts) - min(ran.starts) > 30
    assert by_push[-1] == max(by_push)


class Author:
    """Whom a notice reaches, as the pace sees it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def permits(self, installation_id: int, permission: str) -> bool:
        """Whether the App may write."""
        return True

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Be told of a refusal."""
        self.told.append(sentence)

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Be told of a halt."""
        self.told.append(sentence)


async def test_a_notice_that_the_store_has_no_word_for_is_not_written_and_stops_nobody(
    client: modal.Client, sleeping_modal: SimulatedModal
) -> None:
    store, clock, author = ModalDictStore("app", client), standing_clock(1_000_003.0), Author()
    notices = PacedNotices(author, app=author, store=store, launches=WriteBudget(store, clock), clock=clock)
    await store.get(TOLD, "warm")
    sleeping_modal.interceptor = FailsWith("DictUpdate", Status.PERMISSION_DENIED)
    await notices.refused(msgspec.structs.replace(event(), sha="a" * 40), "why")

    assert author.told == []

"""The faults: what is written instead of what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault in one file of the package: `old`, which stands there once, becomes `new`.

    `test` catches it where the simulation does not; None: the simulation has to.
    """

    name: str
    file: str
    old: str
    new: str
    test: str | None = None


_LANES = "runners/lanes.py"
_ENDING, _BALANCE, _LAUNCH = "runners/ending.py", "runners/balance.py", "runners/launch.py"
_CAPACITY, _CLAIMS, _SUPPLY = "runners/capacity.py", "runners/claims.py", "sweep/supply.py"

MUTANTS = (
    Mutant(
        "the witness is not asked before the removal",
        _ENDING,
        "    if seen is Witness.WORKING:\n        _told(",
        "    if False:\n        _told(",
    ),
    Mutant(
        "the witness is not asked after the removal",
        _ENDING,
        '    if await _look(runner, sandboxes) is Witness.WORKING:\n        return _told(runner, "the sandbox has',
        '    if False:\n        return _told(runner, "the sandbox has',
        test="tests/runners/test_ending.py",
    ),
    Mutant("no time lies before the second look", _ENDING, "WORKER_APPEARS_S = 3.0", "WORKER_APPEARS_S = 0.0"),
    Mutant(
        "one 404 is taken for the end of a runner",
        _ENDING,
        "        await sleep(WORKER_APPEARS_S)\n"
        "        answer = await _look_and_remove(runner, runners, sandboxes, is_new=is_new)\n",
        "        answer = _Answer.REMOVED\n",
        test="tests/runners/test_ending.py",
    ),
    Mutant(
        "what GitHub says of busy is not heeded",
        _ENDING,
        '            _told(runner, "GitHub says that it is busy")\n            return _Answer.WORKS\n',
        "            return _Answer.REMOVED\n",
        test="tests/runners/test_ending.py",
    ),
    Mutant(
        "a claim is not renewed",
        _CLAIMS,
        "                await self._clock.sleep(RENEW_EVERY_S)\n",
        "                return\n",
        test="tests/runners/test_claims.py",
    ),
    Mutant(
        "an attempt's end is not waited out",
        _BALANCE,
        "        if claim.not_before > now:\n",
        "        if False:\n",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a launch under way is not seen",
        _BALANCE,
        "    if runner is None and claim.renewed_at > now - CLAIM_IS_STALE_S:\n",
        "    if False:\n",
    ),
    Mutant(
        "a put-if-absent that lost is taken for won",
        "store/modal_dict.py",
        "            return bool(await self._dicts[kind.name].get.aio(key) == value)\n",
        "            return True\n",
    ),
    Mutant(
        "a repeated put-if-absent is taken for lost",
        "store/modal_dict.py",
        "            return bool(await self._dicts[kind.name].get.aio(key) == value)\n",
        "            return False\n",
        test="tests/store/test_modal_dict.py",
    ),
    Mutant(
        "slots are given back with the job, not with the sandbox",
        "runners/records.py",
        "    await change_known(store, known, RunnerState.FINISHED, finished_at=now, missing_since=None, **changes)\n",
        "    await change_known(store, known, RunnerState.FINISHED, finished_at=now, missing_since=None, **changes)\n"
        "    await release_slots(store, known.slots, known.name, now)\n",
    ),
    Mutant(
        "whoever looked gives a slot back, though another has the right to",
        _CAPACITY,
        '        if by and await store.put_new(RELEASES, f"{by} {key}", Release(uuid.uuid4().hex, now)):\n',
        "        if by:\n",
        test="tests/runners/test_claims.py",
    ),
    Mutant(
        "the cap counts one too few",
        _CAPACITY,
        "        return [(group, most) for group, most in found if most is not None]\n",
        "        return [(group, most + 1) for group, most in found if most is not None]\n",
    ),
    Mutant(
        "a surplus runner is left alone",
        _BALANCE,
        "        surplus=tuple(runner for runner in unneeded if not _is_starting(runner, claims, now)),\n",
        "        surplus=(),\n",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a sandbox whose answer was lost is not looked for",
        _LAUNCH,
        "        return await self._sandboxes.find(name)\n",
        "        return None\n",
        test="tests/runners/test_launch.py",
    ),
    Mutant(
        "a runner that never comes online is waited for without an end",
        _SUPPLY,
        "now - runner.started_at > ONLINE_DEADLINE_S:",
        "False:",
    ),
    Mutant(
        "a launch that was superseded goes on",
        _LAUNCH,
        "        if await self._claims.superseded(start, lease):\n",
        "        if False:\n",
        test="tests/runners/test_launch.py",
    ),
    Mutant(
        "the sweep does not read the queue",
        "sweep/sweep.py",
        '        for installation_id, budget in reach.budgets.items():\n            await self._part(f"demand',
        '        for installation_id, budget in ():\n            await self._part(f"demand',
    ),
    Mutant(
        "the trace of a crashed launch is not followed",
        _SUPPLY,
        "        elif runner.sandbox_id is None:\n            await self._check_unborn(runner, found, report)\n",
        "        elif runner.sandbox_id is None:\n            return\n",
    ),
    Mutant(
        "GitHub's write limit: it is not kept to",
        "runners/write_limit.py",
        "            if paying := next((each for each in lanes if each.pays(WRITE, now)), None):\n",
        "            if paying := TakenLane('', now, WRITE):\n",
        test="tests/runners/test_write_limit.py",
    ),
    Mutant(
        "GitHub's write limit: a lane whose answer is missing is free as if it had come",
        _LANES,
        "        return (self.taken_at + HELD_S) if self.under_way else",
        "        return",
        test="tests/runners/test_write_limit.py",
    ),
    Mutant(
        "GitHub's write limit: what another has taken in the period before is not looked at",
        _LANES,
        "        return max((each.taken_at + HELD_S for each in foreign), default=0.0)\n",
        "        return 0.0\n",
        test="tests/runners/test_write_limit.py",
    ),
    Mutant(
        "GitHub's write limit: he of the period before the last is forgotten",
        _LANES,
        "        before = [period - 1] if is_late else [period - 1, period - 2]\n",
        "        before = [period - 1]\n",
        test="tests/runners/test_write_limit.py",
    ),
    Mutant(
        "GitHub's write limit: what launches read is not counted",
        "runners/write_limit.py",
        "            taken.left -= 0 if reads.popleft() <= taken.taken_at - PERIOD_S else READ\n",
        "            reads.popleft()\n",
        test="tests/runners/test_write_limit.py",
    ),
    Mutant(
        "one absence is enough",
        "runners/records.py",
        "        await change_runner(store, runner.name, **noted)\n        return False\n",
        "        await change_runner(store, runner.name, **noted)\n        return True\n",
        test="tests/runners/test_records.py",
    ),
    Mutant(
        "a first look confirms a suspicion",
        "runners/second_looks.py",
        "                await self._store.put(SUSPECTS, key, Suspect(now))\n            return False\n",
        "                await self._store.put(SUSPECTS, key, Suspect(now))\n            return True\n",
        test="tests/runners/test_absences.py",
    ),
    Mutant(
        "a late event of a job that is over starts it again",
        "jobs/service.py",
        "        return Past(known or over, runner)\n",
        "        return Past(known, runner)\n",
        test="tests/jobs/test_replays.py",
    ),
    Mutant(
        "a runner that waits serves a job that GitHub does not give it",
        _BALANCE,
        "not (waited_long and is_seat(runner.started_for))",
        "True",
        test="tests/runners/test_warm.py",
    ),
    Mutant(
        "a runner that a job has taken counts as idle",
        _BALANCE,
        " if r.idle and r.name not in taken], now)",
        " if r.idle], now)",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "idle runners count twice",
        _BALANCE,
        "        if fitting:\n            del idle[min(fitting, key=lambda runner: len(runner.labels)).name]\n",
        "        if fitting:\n            pass\n",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a runner of another owner is as good",
        _BALANCE,
        "        runner.place == job.place and runner.shape",
        "        runner.shape",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a runner without the labels is as good",
        _BALANCE,
        "all(label.lower() in has for label in job.labels)",
        "bool(has)",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a runner of another machine is as good",
        _BALANCE,
        "runner.shape == demand.shape and",
        "demand.shape is not None and",
        test="tests/runners/test_balance.py",
    ),
    Mutant(
        "a finished runner keeps its slots",
        "runners/records.py",
        "    await release_slots(store, runner.slots, runner.name, now, owner=runner.slots_owner)\n",
        "",
        test="tests/runners/test_claims.py",
    ),
    Mutant(
        "claims of jobs that are over stay",
        "sweep/upkeep.py",
        "        for key in over:\n            await self._store.take(CLAIMS, key)\n",
        "",
    ),
    Mutant(
        "a runner that no record names is left alone",
        "sweep/orphans.py",
        "        if record is not None and record.github_id != listed.status.id:\n",
        "        if True:\n",
    ),
    Mutant(
        "a sandbox that no record names is left alone",
        "sweep/orphans.py",
        "        if name is None or not RUNNER_NAME.fullmatch(name):\n",
        "        if True:\n",
        test="tests/sweep/test_orphans.py",
    ),
    Mutant(
        "a runner that a strange job has taken is supply",
        _SUPPLY,
        "        if listed.status.busy:\n            await self._check_taken(runner, report)\n        elif",
        "        if",
        test="tests/simulate/test_found.py",
    ),
    Mutant(
        "a runner whose job is gone from GitHub is busy with it for ever",
        _SUPPLY,
        "            await self._check_left(runner, found, report)\n",
        "            pass\n",
        test="tests/simulate/test_found.py",
    ),
    Mutant(
        "slots beyond a lowered cap do not count",
        _CAPACITY,
        "        elif number + above <= cap:\n",
        "        elif True:\n",
        test="tests/runners/test_capacity.py",
    ),
    Mutant(
        "an attempt that failed is made again at once",
        _CLAIMS,
        "            now + wait,\n",
        "            now,\n",
        test="tests/runners/test_claims.py",
    ),
    Mutant(
        "a job is gone with its first 404",
        "sweep/questions.py",
        "confirmed(suspicion, dry_run=report.dry_run, sighted_at=record.changed_at):",
        "confirmed(suspicion, age=-1.0) or suspicion:",
        test="tests/runners/test_absences.py",
    ),
    Mutant(
        "the JIT config is logged",
        _LAUNCH,
        "        sandbox_id = await self._create(runner, spec)\n",
        '        _log.info("creating", jit=spec.jit_config.get_secret_value())\n'
        "        sandbox_id = await self._create(runner, spec)\n",
    ),
    Mutant(
        "failed deliveries are not asked for again",
        "sweep/sweep.py",
        '        await self._part("deliveries", self._deliveries.redeliver(report), report)\n',
        "",
        test="tests/sweep/test_sweep.py",
    ),
)

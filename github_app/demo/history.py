"""Two months of made-up jobs in the records, so that the demo's dashboard has a past. They look like what the app
writes, and are told from it by their repositories, which the simulated GitHub knows as well."""

import random
import time
from collections import defaultdict

from github_app.jobs.accounts import with_jobs
from github_app.model import Action, JobEvent, JobRecord, JobState, Ran, Scope, runner_name
from github_app.store import HISTORY, SUMS, ModalDictStore
from github_app.store.notes import DaySums

REPOSITORIES = ("api", "models", "site")
_DAYS = 60
_KEPT_DAYS = 6
_DAY_S = 86400.0
# Name, workflow, repository, vCPU, MiB, GPU, dollars an hour, typical seconds.
_JOBS = (
    ("unit tests", "CI", "api", 2.0, 2048, None, 0.118, 140.0),
    ("integration tests", "CI", "api", 8.0, 16384, None, 0.51, 420.0),
    ("build image", "Release", "api", 16.0, 32768, None, 1.02, 260.0),
    ("train smoke test", "Nightly", "models", 8.0, 65536, "H100", 4.83, 1500.0),
    ("evaluate", "Nightly", "models", 4.0, 16384, "L4", 1.17, 600.0),
    ("deploy preview", "Pages", "site", 2.0, 4096, None, 0.15, 55.0),
)


async def write_history(store: ModalDictStore, organization: str, installation_id: int) -> None:
    """Write it.

    Raises:
        StoreError: the store did not answer.
    """
    dice = random.Random(17)  # noqa: S311 - made up, and the same each time
    sums: dict[str, list[tuple[str, JobRecord]]] = defaultdict(list)
    now = time.time()
    for number, back in enumerate(sorted(dice.uniform(0.02, _DAYS) for _ in range(_DAYS * 14))):
        record = _job(dice, 1000 + number, now - back * _DAY_S, organization, installation_id)
        day = time.strftime("%Y-%m-%d", time.gmtime(record.recorded_at))
        sums[day].append((runner_name(record.event.job_id, 1), record))
        if back < _KEPT_DAYS:
            await store.put(HISTORY, str(record.event.job_id), record)
    for day, jobs in sums.items():
        await store.put(SUMS, day, with_jobs(DaySums(), jobs))


def _job(dice: random.Random, number: int, queued_at: float, organization: str, installation_id: int) -> JobRecord:
    name, workflow, repository, vcpu, memory_mib, gpu, usd, typical_s = dice.choice(_JOBS)
    received = queued_at + dice.uniform(0.4, 1.6)
    jit = received + dice.uniform(0.3, 0.9)
    created = jit + (dice.lognormvariate(2.2, 0.7) if gpu else dice.uniform(0.6, 2.0))
    started = created + dice.uniform(4.0, 8.0)
    completed = started + typical_s * dice.lognormvariate(0.0, 0.25)
    conclusion = dice.choices(("success", "failure", "cancelled"), (90, 8, 2))[0]
    event = JobEvent(
        action=Action.COMPLETED,
        job_id=number,
        run_id=500_000 + number // 3,
        run_attempt=1,
        job_name=name,
        labels=("self-hosted", "modal", *((f"gpu:{gpu.lower()}",) if gpu else ())),
        repository=f"{organization}/{repository}",
        repository_id=1,
        private=True,
        scope=Scope(organization),
        installation_id=installation_id,
        queued_at=queued_at,
        workflow=workflow,
        branch=dice.choice(("main", "main", "fix/timeouts", "feature/export")),
    )
    runner = runner_name(number, 1)
    return JobRecord(
        event=event,
        state=JobState.DONE,
        recorded_at=received,
        changed_at=completed,
        runner_name=runner,
        conclusion=conclusion,
        started_at=started,
        completed_at=completed,
        ran=Ran(runner, number, None, vcpu, memory_mib, gpu, None, None, usd, jit, created),
    )

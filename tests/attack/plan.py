"""The attacks, and what each may at most bring about."""

import asyncio

from tests.attack import bounds, descriptors, held, malformed, signed, slow, storm
from tests.attack.bounds import Attack, Bound, Visit
from tests.attack.scene import Scene

# Of every attack. A second is far below the ten that GitHub waits, and leaves room for a busy machine.
_ENDED = Bound(bounds.UNFINISHED, 0)
_ANSWERING = (_ENDED, Bound(bounds.FAILED, 0), Bound(bounds.P99, 1000))
_NO_ERROR = Bound("5xx", 0)
_NO_SANDBOX = Bound(bounds.SANDBOXES, 0)
# What a storm of refusals may take of the 180 writes a minute that runners need too.
_MOST_CHECKS = 60


async def _nothing(scene: Scene) -> None:
    """No attack, to compare with."""
    await asyncio.sleep(scene.size(3, 1))


NOTHING = Attack("nothing", _nothing, (*_ANSWERING, Bound(bounds.GROWTH, 10)))

MALFORMED = Attack(
    "malformed requests", malformed.send_all, (*_ANSWERING, _NO_ERROR, Bound(bounds.GROWTH, 40), _NO_SANDBOX)
)

SLOW_HEADS = Attack(
    "slow heads",
    slow.heads,
    (*_ANSWERING, Bound(slow.OPEN, 0), Bound(slow.CLOSED_S, slow.DEADLINE_S), Bound(bounds.GROWTH, 40)),
)

SLOW_BODIES = Attack(
    "slow bodies",
    slow.bodies,
    (*_ANSWERING, Bound(slow.OPEN, 0), Bound(slow.CLOSED_S, slow.DEADLINE_S), Bound(bounds.GROWTH, 40)),
)

SLOW_READERS = Attack(
    "slow readers", slow.readers, (*_ANSWERING, Bound(slow.OPEN, 0), Bound(slow.CLOSED_S, slow.LONGEST_S))
)

HELD = Attack(
    "held bodies",
    held.declared,
    (*_ANSWERING, _NO_ERROR, Bound(held.READ_ON, 0), Bound(bounds.GROWTH, 100)),
)

UNDER = Attack("bodies under the cap", held.under_the_cap, (*_ANSWERING, Bound(bounds.GROWTH, 120)))

CHUNKED = Attack(
    "endless bodies",
    held.chunked,
    # About one, and what lies in the buffers of two sockets. More of them than are read at a time are answered 503.
    (*_ANSWERING, Bound(held.TAKEN, 8), Bound(bounds.GROWTH, 100)),
)

REPLAYS = Attack(
    "replays",
    signed.replays,
    (*_ANSWERING, _NO_ERROR, Bound(signed.REPLAYED, 10), Bound(signed.BEYOND, 0)),
)

WRONG_EVENT = Attack(
    "wrong event name", signed.wrong_event, (*_ANSWERING, _NO_ERROR, Bound(signed.RECORDS, 200), _NO_SANDBOX)
)

# As many questions as its budget holds, and some that were asked at the same moment.
FORGED = Attack("forged events", signed.forged, (*_ANSWERING, _NO_ERROR, _NO_SANDBOX, Bound(bounds.CALLS, 80)))

STORM_TOLD = Attack(
    "refusals, told",
    storm.refusals,
    (*_ANSWERING, _NO_ERROR, Bound(storm.SERVED_S, 5), Bound(storm.CHECKS, _MOST_CHECKS), Bound(bounds.SANDBOXES, 1)),
)

STORM_UNTOLD = Attack(
    "refusals, untold",
    storm.refusals,
    (*_ANSWERING, _NO_ERROR, Bound(storm.SERVED_S, 5), Bound(storm.ASKED, 0), Bound(bounds.SANDBOXES, 1)),
)

DESCRIPTORS = Attack(
    "no descriptors left",
    descriptors.exhaust,
    (_ENDED, Bound(descriptors.LOG_KIB, 1024), Bound(descriptors.AFTER_S, 2)),
    # A valid delivery cannot be answered while nothing can be accepted.
    knocked=False,
)

# Lanes: one after another in the full form, all at once in the short one. What grows most comes last on its app, for
# memory is not given back.
BUSY = (
    (Visit((NOTHING, MALFORMED, HELD, UNDER, CHUNKED)), Visit((DESCRIPTORS,), files=descriptors.FILES)),
    (Visit((REPLAYS, WRONG_EVENT, FORGED)),),
    (Visit((STORM_TOLD,), checks=True), Visit((STORM_UNTOLD,))),
)
# They do next to nothing but wait, so that they go on beside the others.
IDLE = ((Visit((SLOW_HEADS,)),), (Visit((SLOW_BODIES,)),), (Visit((SLOW_READERS,)),))

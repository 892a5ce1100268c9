"""What the simulated GitHub holds and can do, without a server: all that its endpoints and pages know."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import httpx

from github_app.simulator.github.actions import Actions
from github_app.simulator.github.auth import Authority
from github_app.simulator.github.faults import Faults, NoFaults
from github_app.simulator.github.limits import RateLimits
from github_app.simulator.github.people import People, Person
from github_app.simulator.github.registration import Registration
from github_app.simulator.github.shapes import Shapes
from github_app.simulator.github.state import Account, App, Installation, Job, World
from github_app.simulator.github.webhooks import Webhooks

_SERVER_VERSION = "2022-11-28"


class Site:
    """One GitHub, whose pages and API stand below `url`."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        jwt_clock: Callable[[], float] | None = None,
        *,
        enterprise: bool = False,
        deliver_by: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`enterprise`: a GitHub Enterprise Server, its API below /api/v3 and in the REST version that it knows.

        `deliver_by`: the way that webhooks take; by default the network.
        """
        self.url = url
        self.api_url = f"{url}/api/v3" if enterprise else url
        self.clock = clock
        self.rest_version = _SERVER_VERSION if enterprise else None
        self.faults: Faults = NoFaults()
        # What nobody has told of the real one: whether a JIT config lets the runner update itself, whether labels are
        # taken and come back as they were sent, and whether a token for chosen repositories may register an
        # organisation's runner.
        self.runners_update = True
        # The version of actions/runner that it offers; this one no setting of ours names.
        self.newest_runner = "2.999.1"
        self.labels_lowered = False
        self.labels_refused = False
        self.labels_added = False
        self.narrowed_tokens_register = True
        # Whether a redirect_uri may lead below a callback URL: the docs allow it to OAuth apps, and want of GitHub Apps
        # "an exact match".
        self.callbacks_go_below = False
        # A DELETE goes by the busy flag that is told, which may lag; else by what is so.
        self.deletes_by_flag = True
        # Lists show what was so many seconds ago; a single thing is shown as it is.
        self.lists_lag_s = 0.0
        # Runners that a DELETE deregistered while their Runner.Worker was there to be seen.
        self.deregistered_at_work = 0
        self.calls: Counter[str] = Counter()
        self.world = World()
        self.shapes = Shapes(self.api_url, self.url)
        self.people = People(self.world, clock)
        self.authority = Authority(self.world, self.people, clock, jwt_clock or clock)
        self.limits = RateLimits(clock)
        self.webhooks = Webhooks(self.world, clock, deliver_by)
        self.actions = Actions(self.world, self.webhooks, self.shapes, clock)
        self.registration = Registration(self.world, self.shapes, self.webhooks, clock)

    def inject(self, faults: Faults) -> None:
        """Let things go wrong from now on."""
        self.faults = self.webhooks.faults = faults
        self.actions.busy_lag_s = faults.busy_lag_s

    def install(self, app: App, account: Account) -> Installation:
        """Install an App on an account, as its owner does with two clicks."""
        installation = Installation(self.world.new_id(), app, account, self.clock())
        self.world.installations[installation.id] = installation
        payload = {
            "action": "created",
            "installation": self.shapes.installation(installation),
            "repositories": [],
            "sender": self.shapes.account(account),
        }
        self.webhooks.send(installation, "installation", payload, None)
        return installation

    def add_person(
        self,
        login: str,
        *,
        name: str | None = None,
        roles: Mapping[str, str] | None = None,
        sees: Collection[str] = (),
        pending: bool = False,
    ) -> Person:
        """Create a user, or give one more: `roles` (`admin`, `member`) in organisations, private repositories to see.

        Both by their names, `octo-org` and `octo-org/app`; owners of an organisation see all of it. `pending`: the
        person has been invited to the organisations, and has not agreed.
        """
        return self.people.add(login, name=name, roles=roles or {}, sees=sees, pending=pending)

    def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        return list(self.world.jobs.values())

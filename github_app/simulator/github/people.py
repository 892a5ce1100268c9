"""The people of the simulated GitHub: what each belongs to and may see, and what they have let Apps do.

Docs: "Generating a user access token for a GitHub App", "Refreshing user access tokens", and of "Repository roles for
an organization" that owners have access to everything. Members see here what is named for them, as where the
organisation's base permission is "No permission".
"""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from github_app.simulator.github.state import Account, App, Repository, World

CODE_LIFETIME_S = 600.0
TOKEN_LIFETIME_S = 28_800
REFRESH_LIFETIME_S = 15_897_600


@dataclass
class Membership:
    """What somebody is in an organisation: `admin` (an owner) or `member`, `active` or still `pending`."""

    role: str = "member"
    state: str = "active"


@dataclass(eq=False)
class Person:
    """A user. `memberships` and `sees` go by the names of organisations and repositories, in lower case."""

    account: Account
    name: str | None
    memberships: dict[str, Membership] = field(default_factory=dict)
    sees: set[str] = field(default_factory=set)

    @property
    def login(self) -> str:
        """The name that GitHub knows a user by."""
        return self.account.login

    def belongs_to(self, account: Account) -> bool:
        """Whether it is the person's own account, or an organisation that has the person as an active member."""
        membership = self.memberships.get(account.login.lower())
        return account is self.account or (membership is not None and membership.state == "active")

    def administers(self, account: Account) -> bool:
        """Whether everything of an account is the person's to see and change."""
        membership = self.memberships.get(account.login.lower())
        return account is self.account or membership == Membership("admin")

    def has(self, repository: Repository) -> bool:
        """Whether the person has "explicit permission" to a repository, which a public one alone gives to nobody.

        Docs: "List repositories accessible to the user access token".
        """
        owner = repository.owner
        given = repository.full_name.lower() in self.sees
        return given or self.administers(owner) or (self.belongs_to(owner) and not repository.private)


@dataclass(frozen=True)
class Code:
    """What a person has agreed to. `challenge` is PKCE's."""

    app: App
    person: Person
    redirect_uri: str
    challenge: str
    expires_at: float


@dataclass(frozen=True)
class UserToken:
    """A user access token of eight hours, and the refresh token that was given with it."""

    app: App
    person: Person
    token: str
    expires_at: float
    refresh_token: str
    refresh_expires_at: float


class People:
    """Who there is, and the codes and tokens that Apps have of them."""

    def __init__(self, world: World, clock: Callable[[], float] = time.time) -> None:
        self._world = world
        self._clock = clock
        self._people: dict[str, Person] = {}
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, UserToken] = {}

    def add(
        self, login: str, *, name: str | None = None, roles: Mapping[str, str], sees: Collection[str], pending: bool
    ) -> Person:
        """Create a user, or give one that is there something to belong to and to see."""
        account = self._world.accounts.get(login.lower()) or Account(self._world.new_id(), login, "User")
        person = self._people.setdefault(login.lower(), Person(account, name))
        state = "pending" if pending else "active"
        person.memberships |= {organization.lower(): Membership(role, state) for organization, role in roles.items()}
        person.sees |= {repository.lower() for repository in sees}
        return person

    def everyone(self) -> list[Person]:
        """Everybody; whoever has a personal account is a person too."""
        for account in self._world.accounts.values():
            if account.kind == "User":
                self._people.setdefault(account.login.lower(), Person(account, None))
        return list(self._people.values())

    def find(self, login: str) -> Person | None:
        """The person of a login."""
        return next((person for person in self.everyone() if person.login.lower() == login.lower()), None)

    def agree(self, person: Person, app: App, redirect_uri: str, challenge: str) -> str:
        """Let an App act for a person, and return the code that buys it a token."""
        code = secrets.token_hex(10)
        self._codes[code] = Code(app, person, redirect_uri, challenge, self._clock() + CODE_LIFETIME_S)
        return code

    def take_code(self, code: str, app: App) -> Code | None:
        """What a code stands for. It is good once, for ten minutes, and for its own App."""
        found = self._codes.get(code)
        if found is None or found.app is not app:
            return None
        del self._codes[code]
        return found if found.expires_at > self._clock() else None

    def issue(self, app: App, person: Person) -> UserToken:
        """Make a token, and one to refresh it by."""
        now = self._clock()
        made = UserToken(
            app,
            person,
            f"ghu_{secrets.token_hex(18)}",
            now + TOKEN_LIFETIME_S,
            f"ghr_{secrets.token_hex(38)}",
            now + REFRESH_LIFETIME_S,
        )
        self._tokens[made.token] = made
        return made

    def renew(self, refresh_token: str, app: App) -> UserToken | None:
        """A new token for a refresh token, by which both of the old ones end."""
        for old in self._tokens.values():
            if old.refresh_token == refresh_token and old.app is app and old.refresh_expires_at > self._clock():
                self.revoke(old)
                return self.issue(app, old.person)
        return None

    def token(self, token: str) -> UserToken | None:
        """A token that is alive."""
        found = self._tokens.get(token)
        return found if found is not None and found.expires_at > self._clock() else None

    def revoke(self, token: UserToken) -> None:
        """End a token, and what would refresh it."""
        del self._tokens[token.token]

"""Who has signed in, in a cookie that only this App can read: no container has to remember anybody."""

import base64
import hashlib
import secrets
from dataclasses import dataclass

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from github_app.clock import Clock

# GitHub's user tokens end after eight hours as well.
LASTS_S = 8 * 3600
_SIGNING_IN_S = 600
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Session:
    """Someone who has signed in. `csrf` has to come with what changes something."""

    login: str
    token: SecretStr
    csrf: str


class _Sealed(msgspec.Struct):
    login: str
    token: str
    csrf: str


class SigningIn(msgspec.Struct, frozen=True):
    """A sign-in that has begun: its state, PKCE's verifier, and the page to come back to."""

    state: str
    verifier: str
    back_to: str

    @property
    def challenge(self) -> str:
        """PKCE's S256 (RFC 7636, 4.2)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class Sessions:
    """Seals sessions into cookies, and opens them. The key comes from the App's secrets: a new secret ends them all."""

    def __init__(self, client_secret: SecretStr, webhook_secret: SecretStr, clock: Clock) -> None:
        made_of = f"{client_secret.get_secret_value()}\n{webhook_secret.get_secret_value()}"
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"modal-runner dashboard").derive(made_of.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._clock = clock

    def begin(self, request: Request, answer: Response, back_to: str) -> SigningIn:
        """Remember in the browser that a sign-in has begun there."""
        signing_in = SigningIn(secrets.token_urlsafe(24), secrets.token_urlsafe(48), back_to)
        self._give(request, answer, "sign-in", msgspec.json.encode(signing_in), _SIGNING_IN_S)
        return signing_in

    def begun(self, request: Request) -> SigningIn | None:
        """The sign-in that has begun in this browser."""
        plain = self._taken(request, "sign-in", _SIGNING_IN_S)
        return msgspec.json.decode(plain, type=SigningIn) if plain else None

    def open(self, request: Request) -> Session | None:
        """Who has signed in, in this browser."""
        plain = self._taken(request, "session", LASTS_S)
        if plain is None:
            return None
        sealed = msgspec.json.decode(plain, type=_Sealed)
        return Session(sealed.login, SecretStr(sealed.token), sealed.csrf)

    def start(self, request: Request, answer: Response, login: str, token: SecretStr) -> None:
        """Sign somebody in."""
        sealed = _Sealed(login, token.get_secret_value(), secrets.token_urlsafe(24))
        self._give(request, answer, "session", msgspec.json.encode(sealed), LASTS_S)
        answer.delete_cookie(_name(request, "sign-in"), path="/", secure=is_secure(request), httponly=True)

    def end(self, request: Request, answer: Response) -> None:
        """Sign out."""
        answer.delete_cookie(_name(request, "session"), path="/", secure=is_secure(request), httponly=True)

    def _give(self, request: Request, answer: Response, kind: str, plain: bytes, lasts_s: int) -> None:
        sealed = self._fernet.encrypt_at_time(kind.encode() + b"\n" + plain, int(self._clock.now()))
        # Lax: GitHub's page leads back here.
        answer.set_cookie(
            _name(request, kind),
            sealed.decode(),
            max_age=lasts_s,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )

    def _taken(self, request: Request, kind: str, lasts_s: int) -> bytes | None:
        try:
            given = request.cookies.get(_name(request, kind), "").encode()
            plain = self._fernet.decrypt_at_time(given, lasts_s, int(self._clock.now()))
        except InvalidToken:
            return None
        before, _, after = plain.partition(b"\n")
        return after if before == kind.encode() else None


def is_secure(request: Request) -> bool:
    """Whether browsers come by https: so they do but to this machine, whatever a proxy in between makes of it."""
    return request.url.hostname not in _LOOPBACK


def base_url(request: Request) -> str:
    """Where browsers find this server."""
    return f"{'https' if is_secure(request) else 'http'}://{request.url.netloc}"


def _name(request: Request, kind: str) -> str:
    # Browsers send a cookie with this prefix to the very host that set it (RFC 6265bis), and take it by https alone.
    # On this machine its ports are told apart, which a cookie is not by itself.
    prefix = "__Host-" if is_secure(request) else ""
    return f"{prefix}modal-runner-{kind}" + ("" if is_secure(request) else f"-{request.url.port}")

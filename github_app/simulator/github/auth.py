"""Who is calling: an App with its JWT or its client secret, an installation or a user with a token, or nobody.

Rules from GitHub's docs: "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an installation access
token", "Generating a user access token for a GitHub App", "Permissions required for GitHub Apps".
"""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from github_app.simulator.github.people import People, UserToken
from github_app.simulator.github.state import App, Installation, InstallationToken, World

TOKEN_LIFETIME_S = 3600.0
_SUSPENDED = "This installation has been suspended"
_NOT_ACCESSIBLE = "Resource not accessible by integration"
# No allowance for clocks that differ: the docs leave that to the caller, who is to date a JWT back a minute.
_JWT_LIFETIME_S = 600
_LEVELS = {"read": 1, "write": 2, "admin": 3}


class ApiError(Exception):
    """An answer that is an error, with GitHub's `message`."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Authority:
    """Verifies JWTs, mints tokens and finds out whose a token is."""

    def __init__(
        self,
        world: World,
        people: People,
        clock: Callable[[], float] = time.time,
        jwt_clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._people = people
        self._clock = clock
        # A JWT is signed by the clock on the wall, also where all else runs in compressed time.
        self._jwt_clock = jwt_clock
        # The JWT that was verified last, and by which key: its caller makes use of it for minutes.
        self._verified: tuple[str, RSAPublicKey, App, Mapping[str, Any]] | None = None

    def app(self, authorization: str) -> App:
        """The App whose private key signed the JWT in an `Authorization` header."""
        token = _credential(authorization)
        known = self._verified
        # Two processes make the same JWT within a second; the App may have been deleted in between.
        is_there = known is not None and self._world.apps.get(known[2].id) is known[2]
        if known is None or not is_there or known[0] != token or known[1] is not known[2].public_key:
            app, claims = self._verify(token)
            known = self._verified = (token, app.public_key, app, claims)
        self._check_times(known[3])
        return known[2]

    def _verify(self, token: str) -> tuple[App, Mapping[str, Any]]:
        try:
            issuer = str(jwt.decode(token, options={"verify_signature": False})["iss"])
            app = next(a for a in self._world.apps.values() if issuer in {str(a.id), a.client_id})
            claims = jwt.decode(
                token,
                app.public_key,
                algorithms=["RS256"],
                options={"require": ["exp", "iat", "iss"], "verify_iat": False, "verify_exp": False},
            )
        except (jwt.PyJWTError, KeyError, StopIteration):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "A JSON web token could not be decoded") from None
        return app, claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._jwt_clock()
        expires, issued = claims["exp"], claims["iat"]
        if not isinstance(expires, int | float) or expires <= now:
            raise ApiError(401, "'Expiration time' claim ('exp') must be a numeric value in the future")
        if expires > now + _JWT_LIFETIME_S:
            raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
        if not isinstance(issued, int) or issued > now:
            raise ApiError(401, "'Issued at' claim ('iat') must be an Integer representing the time of issue")

    def mint(self, installation: Installation, wanted: object) -> tuple[str, InstallationToken]:
        """Make a token, narrowed to `wanted` permissions, which the installation must have."""
        if installation.suspended_at is not None:
            raise ApiError(403, _SUSPENDED)
        granted = installation.permissions
        if not isinstance(wanted, dict | None):
            raise ApiError(422, "The permissions requested are not an object.")
        for name, level in (wanted or {}).items():
            if _LEVELS.get(str(level), 9) > _LEVELS.get(granted.get(name, ""), 0):
                raise ApiError(422, "The permissions requested are not granted to this installation.")
        token = self._new_token(installation.app.id)
        record = InstallationToken(installation, dict(wanted or granted), self._clock() + TOKEN_LIFETIME_S)
        self._world.tokens[token] = record
        return token, record

    def _new_token(self, app_id: int) -> str:
        """Either format in turn: 40 characters, or the long one with two dots that GitHub brings in since 2026."""
        if len(self._world.tokens) % 2:
            return "ghs_" + secrets.token_hex(18)
        return f"ghs_{app_id}_{secrets.token_urlsafe(90)}.{secrets.token_urlsafe(180)}.{secrets.token_urlsafe(90)}"

    def installation(self, authorization: str, needs: tuple[str, str] | None) -> InstallationToken:
        """The token in an `Authorization` header, if it is alive and has the permission that the call needs."""
        credential = _credential(authorization)
        if self._people.token(credential) is not None:
            # So it is at /installation; elsewhere GitHub lets a user do what the App may too, which is not simulated.
            raise ApiError(HTTPStatus.FORBIDDEN, _NOT_ACCESSIBLE)
        token = self._world.tokens.get(credential)
        if token is None or token.expires_at <= self._clock():
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials")
        if token.installation.suspended_at is not None:
            raise ApiError(HTTPStatus.FORBIDDEN, _SUSPENDED)
        if token.installation.id not in self._world.installations:
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials")
        if needs is not None and not permits(token.permissions, needs):
            raise ApiError(HTTPStatus.FORBIDDEN, _NOT_ACCESSIBLE)
        return token

    def user(self, authorization: str) -> UserToken:
        """The user's token in an `Authorization` header, if it is alive."""
        credential = _credential(authorization)
        if credential in self._world.tokens:
            raise ApiError(HTTPStatus.FORBIDDEN, _NOT_ACCESSIBLE)
        token = self._people.token(credential)
        if token is None:
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials")
        return token

    def client(self, authorization: str) -> App:
        """The App whose client id and client secret are the user and the password of an `Authorization` header."""
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Requires authentication")
        try:
            client_id, _, client_secret = base64.b64decode(credential).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials") from None
        for app in self._world.apps.values():
            if app.client_id == client_id and client_secret in app.client_secrets:
                return app
        raise ApiError(HTTPStatus.UNAUTHORIZED, "Bad credentials")


def permits(permissions: Mapping[str, str], needs: tuple[str, str]) -> bool:
    """Whether permissions hold one of a name, at its level or above."""
    name, level = needs
    return _LEVELS.get(permissions.get(name, ""), 0) >= _LEVELS[level]


def _credential(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() not in {"bearer", "token"} or not credential:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "Requires authentication")
    return credential.strip()

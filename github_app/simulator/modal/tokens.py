"""JSON web tokens, of which the SDK reads the expiry and no more."""

import base64
import json
import secrets
from typing import Any


def unsigned_jwt(subject: str, expires_at: float) -> str:
    """Make a token that nobody can guess; a random part stands for the signature."""
    claims = {"sub": subject, "exp": int(expires_at)}
    return ".".join([_part({"alg": "none", "typ": "JWT"}), _part(claims), secrets.token_urlsafe(16)])


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

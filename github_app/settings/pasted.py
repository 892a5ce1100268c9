"""What people paste into settings, read as it was meant or refused with what to write instead. Pure.

No message quotes a value: it may be a secret in the wrong place.
"""

import base64
import binascii
import json
import re
import textwrap
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_KEY_ADVICE = "give the PEM that the App's settings page made under 'Private keys'"
_PEM = re.compile(r"(?P<begin>-----BEGIN [A-Z ]+-----)(?P<body>.*)(?P<end>-----END [A-Z ]+-----)", re.DOTALL)
# "Iv1.8a61f9b3a7aba766", "Iv23liABCdefGHI12345".
_CLIENT_ID = re.compile(r"Iv\d{1,2}\.?[A-Za-z0-9]{8,}")
# Of any alphabet, but nothing that quotes or divides.
_LABEL = re.compile(r"[^\s'\"`;,\[\]{}()]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def json_value(text: str) -> object:
    """Read JSON.

    Raises:
        ValueError: it is none; what was read is not quoted.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"no JSON{at}") from None


def names(text: str, what: str = "names") -> tuple[str, ...]:
    """Read a list: JSON, or with commas between.

    Raises:
        ValueError: it is no list of strings.
    """
    listed = json_value(text) if text.lstrip().startswith("[") else text.split(",")
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise ValueError(f"no list of {what}; write them with commas between, or as a JSON list of strings")
    return tuple(each.strip() for each in listed if each.strip())


def labels(text: str) -> tuple[str, ...]:
    """Read labels that select us.

    Raises:
        ValueError: it is no list, or one of them cannot be such a label.
    """
    found = names(text)
    if any("/" in name or ":" in name for name in found):
        raise ValueError("a label that selects us has neither '/' nor ':'")
    if not all(_LABEL.fullmatch(name) for name in found):
        raise ValueError(
            "a label has no blanks, quotes or semicolons in it; write several with commas between, or as a JSON list"
        )
    return found


def path(written: Path) -> Path:
    """Read a path, also below the home directory where there is one."""
    try:
        return written.expanduser()
    except RuntimeError:
        return written


def variables(text: str) -> dict[str, str]:
    """Read variables: a JSON object of strings, or NAME=value with commas between.

    Raises:
        ValueError: they are neither. What is wrong is told by its place: its text may be a secret with a comma in it.
    """
    if text.lstrip().startswith("{"):
        found = json_value(text)
    else:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if wrong := [str(n) for n, part in enumerate(parts, 1) if not _VARIABLE.fullmatch(part.partition("=")[0])]:
            raise ValueError(f"part {', '.join(wrong)} is not NAME=value; values with commas need the JSON form")
        if bare := [str(n) for n, part in enumerate(parts, 1) if "=" not in part]:
            raise ValueError(f"part {', '.join(bare)} has no '='; values with commas need the JSON form")
        found = dict(part.partition("=")[::2] for part in parts)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError('no object of strings; write for example {"NAME": "value"}')
    if not all(_VARIABLE.fullmatch(name) for name in found):
        raise ValueError("a key is not the name of a variable; these have letters, digits and '_' alone")
    return found


def app_id(value: object) -> object:
    """Tell a client id from the App's number.

    Raises:
        ValueError: it is a client id.
    """
    if isinstance(value, str) and _CLIENT_ID.fullmatch(value.strip()):
        raise ValueError("that is the App's client id; its number stands above it on the settings page, as 'App ID'")
    return value


def enterprise_domain(value: object) -> object:
    """Tell the host of an enterprise's GitHub from what stands near it in an address bar.

    Raises:
        ValueError: it is something else; the message says what to write.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if "://" in text:
        raise ValueError("write the host alone, without https:// and without a path")
    name = text.rstrip("/").partition(":")[0].rstrip(".")
    if re.fullmatch(r"(.*\.)?(github\.com|githubusercontent\.com)", name):
        raise ValueError("that is GitHub.com, for which this stays unset")
    if name == "ghe.com":
        raise ValueError("write the enterprise's own host, SUBDOMAIN.ghe.com")
    if name.startswith("api."):
        raise ValueError("that is the API's host; write the one that people open in a browser, without 'api.'")
    if "/" in text:
        raise ValueError("write the host alone, without a path")
    return value.strip()


def pem(text: str) -> str:
    """Read a private key as it may have been pasted: PEM, base64 of PEM, with escaped or lost line ends, in quotes.

    Raises:
        ValueError: there is no PEM in it.
    """
    plain = _unescaped(text)
    found = _PEM.search(plain) or _PEM.search(_unescaped(_decoded(plain)))
    if found is None and re.fullmatch(r"[~./\w-]*\.(pem|key)", plain):
        raise ValueError("that is the name of a file; give it as GITHUB_PRIVATE_KEY_PATH")
    if found is None:
        raise ValueError(f"the key does not parse; {_KEY_ADVICE}")
    # A key that is encrypted has header lines, which stay as they are.
    body = found["body"].strip() if ":" in found["body"] else textwrap.fill("".join(found["body"].split()), 64)
    return f"{found['begin']}\n{body}\n{found['end']}\n"


def private_key(text: str, *, checked: bool = False) -> RSAPrivateKey:
    """Load a PEM. Whether its numbers are those of a key at all takes 35 ms, and is asked unless it is `checked`.

    Raises:
        ValueError: it is not the private key of an App.
    """
    # The causes are not chained: a parser's message may quote what it read.
    try:
        key = load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=checked)
    except TypeError:
        raise ValueError(f"the key is encrypted; {_KEY_ADVICE}") from None
    except ValueError:
        raise ValueError(f"the key does not parse; {_KEY_ADVICE}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"not an RSA key; {_KEY_ADVICE}")  # noqa: TRY004 - pydantic collects ValueErrors
    return key


def no_key() -> ValueError:
    """There is none at all."""
    return ValueError(f"missing (or GITHUB_PRIVATE_KEY_PATH); {_KEY_ADVICE}")


def _unescaped(text: str) -> str:
    plain = text.strip("\ufeff \t\r\n").strip("'\"")
    return plain.replace("\\r", "").replace("\\n", "\n").replace("\r", "").strip()


def _decoded(text: str) -> str:
    # Some tools leave the padding out, and some write the alphabet that URLs take.
    digits = "".join(text.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""

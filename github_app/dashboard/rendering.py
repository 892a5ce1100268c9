"""Templates, and what keeps a page's content from doing anything but being shown."""

import functools
import hashlib
import time
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from github_app.foreign_text import plain, short, visible
from github_app.routing.units import as_money, as_span, number_of
from github_app.views.jobs import machine_of

# Everything comes from this server, and nothing runs that is not in a file of ours: neither scripts nor styles within
# a page, whatever a job is called. GitHub's sign-in is reached by a link, which no `form-action` holds up.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ASSETS = ("htmx.min.js", "icon.svg", "idiomorph-ext.min.js", "live.js", "style.css")
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page(template: str, code: int = 200, **content: Any) -> HTMLResponse:
    """Render a page."""
    return HTMLResponse(_templates().get_template(template).render(**content), code, HEADERS)


@functools.cache
def asset(name: str) -> bytes:
    """A file of ours that pages use: one of `ASSETS`."""
    return files("github_app.dashboard").joinpath("static", name).read_bytes()


@functools.cache
def asset_url(name: str) -> str:
    """Its address, which is another one once the file is."""
    return f"/static/{name}?{hashlib.sha256(asset(name)).hexdigest()[:12]}"


@functools.cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("github_app.dashboard", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"asset": asset_url, "machine": lambda runner: machine_of(runner.shape)}
    found.filters |= {
        "span": as_span,
        "number_of": number_of,
        "money": lambda usd: "" if usd is None else as_money(usd),
        "short": lambda text: short(str(text)),
        "plain": plain,
        "shown": lambda text: visible(str(text)),
        "when": lambda at: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)),
        "ticked": _ticked,
        "iso": lambda at: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
    }
    return found


def _ticked(text: str) -> Markup:
    """Our own text, in which `backticks` mark what is code."""
    plain_parts = str(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(plain_parts)
    )

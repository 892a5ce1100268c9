"""A page for a person at the browser, and the form that comes back from one.

Names and logs are foreign text: each is escaped where it enters a page, and what would steer a reader is shown as its
code.
"""

import html
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from github_app.foreign_text import visible

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top;overflow-wrap:anywhere}"
    "pre{background:#8881;padding:1em;white-space:pre-wrap;overflow-wrap:anywhere}"
    "button{font:inherit;margin:.2em 0}"
    ".success{color:#1a7f37}.failure{color:#cf222e}.cancelled{color:#9a6700}"
)


def page(title: str, body: str = "", *, status: int = 200, head: str = "") -> Response:
    """A page of a title that is text, and a body and what belongs into its head that are HTML."""
    title = text(title)
    head = f'<meta charset="utf-8"><title>{title}</title>{head}<style>{_STYLE}</style>'
    # Whatever a name should smuggle in, no script runs here.
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(f"<!doctype html><html lang=en>{head}<h1>{title}</h1>{body}</html>", status, policy)


def text(foreign: str, *, lines: bool = False) -> str:
    """A text as HTML, also within quotes; `lines` keeps its lines."""
    return html.escape(visible(foreign, lines=lines))


def hidden(values: Mapping[str, str]) -> str:
    """Fields that a form sends along unseen, each exactly as it is."""
    return "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in values.items()
    )


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name."""
    found = parse_qs((await request.body()).decode("utf-8", "replace"))
    return {name: values[0] for name, values in found.items()}

"""The docs' tables of labels and of settings, made from what the code reads."""

import re
from importlib import metadata

from github_app.routing.catalog import GPUS
from github_app.routing.labels import KEYS
from github_app.routing.network import github_names
from github_app.settings.variables import Settings


def labels_table() -> str:
    """Every label that asks for something, in Markdown."""
    rows = [(f"`{key.example}`", key.meaning) for key in KEYS.values()]
    rows.append(("`docker`", "dockerd, ready before the job starts"))
    gpus = ", ".join(f"`{name}` (up to {each.most})" for name, each in GPUS.items())
    return "\n".join([_head("Label", "What it asks for"), *(_row(*row) for row in rows), "", f"GPUs: {gpus}.", ""])


def settings_table() -> str:
    """Every variable, in Markdown."""
    rows = [
        (f"`{name.upper()}`", _default(field.get_default(call_default_factory=True)), field.description or "")
        for name, field in sorted(Settings.model_fields.items())
    ]
    return "\n".join([_head("Variable", "Default", "What it says"), *(_row(*row) for row in rows), ""])


def domains_table() -> str:
    """What the policy `github-only` reaches, in Markdown."""
    rows = [(f"`{each.name}`", each.purpose, each.source) for each in github_names(None)]
    return "\n".join([_head("Domain", "What for", "Source"), *(_row(*row) for row in rows), ""])


def licences_table() -> str:
    """The packages that the app itself needs, and their licences as they state them, in Markdown."""
    wanted = metadata.requires("modal-runner") or []
    names = sorted({re.split(r"[^A-Za-z0-9._-]", each)[0] for each in wanted if "extra ==" not in each})
    return "\n".join([_head("Package", "Licence"), *(_row(name, _licence(name)) for name in names), ""])


def _licence(name: str) -> str:
    told = metadata.metadata(name)
    classified = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or []
        if each.startswith("License ::") and each.count("::") > 1
    ]
    stated = (told.get_all("License-Expression") or [""])[0]
    return stated or " and ".join(classified) or (told.get_all("License") or ["not stated"])[0].partition("\n")[0]


def _default(value: object) -> str:
    if value is None or value in ((), {}) or "Secret" in type(value).__name__ or "Undefined" in type(value).__name__:
        return ""
    written = ",".join(value) if isinstance(value, tuple) else str(value)
    return f"`{written.lower() if isinstance(value, bool) else written}`"


def _head(*names: str) -> str:
    return _row(*names) + "\n" + _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"

"""The docs' tables of labels and of settings, made from what the code reads."""

from github_app.catalog import GPUS
from github_app.labels import KEYS
from github_app.network import github_names
from github_app.settings import Settings


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


def _default(value: object) -> str:
    if value is None or value in ((), {}) or "Secret" in type(value).__name__ or "Undefined" in type(value).__name__:
        return ""
    written = ",".join(value) if isinstance(value, tuple) else str(value)
    return f"`{written.lower() if isinstance(value, bool) else written}`"


def _head(*names: str) -> str:
    return _row(*names) + "\n" + _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"

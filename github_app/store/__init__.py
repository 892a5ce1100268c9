"""Records in Modal's Dict: small JSON values under string keys, one Dict for each kind.

It may touch Modal's Dicts, and knows of GitHub and sandboxes only the values that are recorded.
"""

from github_app.store.kinds import (
    ALLOWANCES,
    BUDGET,
    CACHES,
    CLAIMS,
    DELIVERIES,
    HALTS,
    HISTORY,
    JOBS,
    KINDS,
    PARKED,
    PROBES,
    REDELIVERED,
    REFUSALS,
    RUNNERS,
    SEEN,
    SLOTS,
    SUSPECTS,
    SWEEPS,
    TOLD,
    VERSIONS,
    WATERMARKS,
    Delivered,
    Kind,
)
from github_app.store.modal_dict import ModalDictStore

__all__ = [
    "ALLOWANCES",
    "BUDGET",
    "CACHES",
    "CLAIMS",
    "DELIVERIES",
    "HALTS",
    "HISTORY",
    "JOBS",
    "KINDS",
    "PARKED",
    "PROBES",
    "REDELIVERED",
    "REFUSALS",
    "RUNNERS",
    "SEEN",
    "SLOTS",
    "SUSPECTS",
    "SWEEPS",
    "TOLD",
    "VERSIONS",
    "WATERMARKS",
    "Delivered",
    "Kind",
    "ModalDictStore",
]

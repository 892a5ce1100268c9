"""Records in Modal's Dict: small JSON values under string keys, one Dict for each kind."""

from github_app.store.kinds import (
    ALLOWANCES,
    BUDGET,
    CLAIMS,
    DELIVERIES,
    HISTORY,
    JOBS,
    KINDS,
    PARKED,
    REDELIVERED,
    RUNNERS,
    SEEN,
    SLOTS,
    SUSPECTS,
    VERSIONS,
    WATERMARKS,
    Delivered,
    Kind,
)
from github_app.store.modal_dict import ModalDictStore

__all__ = [
    "ALLOWANCES",
    "BUDGET",
    "CLAIMS",
    "DELIVERIES",
    "HISTORY",
    "JOBS",
    "KINDS",
    "PARKED",
    "REDELIVERED",
    "RUNNERS",
    "SEEN",
    "SLOTS",
    "SUSPECTS",
    "VERSIONS",
    "WATERMARKS",
    "Delivered",
    "Kind",
    "ModalDictStore",
]

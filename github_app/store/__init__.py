"""Records in Modal's Dict: small JSON values under string keys, one Dict for each kind."""

from github_app.store.kinds import (
    ALLOWANCES,
    BUDGET,
    CLAIMS,
    DELIVERIES,
    HISTORY,
    JOBS,
    KINDS,
    REDELIVERED,
    RUNNERS,
    SLOTS,
    SUSPECTS,
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
    "REDELIVERED",
    "RUNNERS",
    "SLOTS",
    "SUSPECTS",
    "WATERMARKS",
    "Delivered",
    "Kind",
    "ModalDictStore",
]

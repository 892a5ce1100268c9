"""Records in Modal's Dict: small JSON values under string keys, one Dict for each kind."""

from github_app.store.kinds import CLAIMS, DELIVERIES, JOBS, KINDS, RUNNERS, Delivered, Kind
from github_app.store.modal_dict import ModalDictStore

__all__ = ["CLAIMS", "DELIVERIES", "JOBS", "KINDS", "RUNNERS", "Delivered", "Kind", "ModalDictStore"]

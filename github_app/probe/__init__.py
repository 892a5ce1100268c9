"""`modal-runner probe`: what the product assumes of GitHub and Modal, looked at on the customer's own accounts.

It may start sandboxes that run nothing of anyone's, and register a runner for a moment; it changes no repository.
"""

from github_app.probe.probe import Probe, Wanted, last
from github_app.probe.result import hopeless, was_seen_now
from github_app.probe.show import counted, show, show_what_fails

__all__ = ["Probe", "Wanted", "counted", "hopeless", "last", "show", "show_what_fails", "was_seen_now"]

"""The HTTP face of the App: deliveries are verified and answered, and its health is shown.

It may touch the socket that it serves, and hands each event to `jobs/`.
"""

from github_app.web.app import create_app

__all__ = ["create_app"]

"""The HTTP face of the App."""

from github_app.web.app import create_app

__all__ = ["create_app"]

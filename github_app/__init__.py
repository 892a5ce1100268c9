"""Modal Runner: a GitHub App that runs each queued GitHub Actions job in a Modal Sandbox of its own."""

"""The repository itself: its docs, its make targets, its package."""

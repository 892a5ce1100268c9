"""`python -m github_app`: the same as `modal-runner`."""

from github_app.cli import main

main()

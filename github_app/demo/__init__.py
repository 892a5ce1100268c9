"""The demo: both simulators, the production app, and a real workflow, end to end on one machine.

It may start processes here; of production it uses the command `serve`, the manifest and the way to GitHub.
"""

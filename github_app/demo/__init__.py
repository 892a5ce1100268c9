"""The demo: both simulators, the production app, and a real workflow, end to end on one machine.

It may start processes here, and knows of production what a workflow and the command `serve` tell.
"""

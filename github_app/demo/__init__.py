"""The demo: both simulators, the production app, and a real workflow, end to end on one machine."""

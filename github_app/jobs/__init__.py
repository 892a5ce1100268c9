"""What becomes of each `workflow_job` event: it is known, admitted and recorded, and its runner is asked for.

It may touch the store, the rooms below (`runners/`, `routing/`) and, through Protocols, GitHub.
"""

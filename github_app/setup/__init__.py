"""`modal-runner setup`: from nothing to the first job in one sitting.

It may touch the browser, GitHub, through `deployment/` Modal, and ends with a probe.
"""

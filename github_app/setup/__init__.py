"""`modal-runner setup`: from nothing to the first job in one sitting.

It may touch the browser, GitHub's registration and, through `deployment/`, Modal.
"""

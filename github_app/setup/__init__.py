"""`modal-runner setup`: from nothing to the first job in one sitting."""

"""What the operator decides: the environment's variables, the administrator's modal-runner.toml, which GitHub it is.

It may read the environment and the files that these name, and touches no service.
"""

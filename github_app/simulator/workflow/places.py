"""Which contexts GitHub offers where.

https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#context-availability
"""

RUN = frozenset({"github", "vars", "inputs"})
WORKFLOW_ENV = RUN | {"secrets"}
JOB = RUN | {"needs"}
INSTANCE = JOB | {"strategy", "matrix"}
# A job's `env`, and the secrets that it hands to a workflow that it calls.
WITH_SECRETS = INSTANCE | {"secrets"}
# The `if` of a step sees no secrets.
STEP_IF = INSTANCE | {"env", "job", "runner", "steps"}
STEP = STEP_IF | {"secrets"}
CALLED_OUTPUT = RUN | {"jobs"}

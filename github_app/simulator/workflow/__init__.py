"""The workflow language: read a GitHub Actions file, plan a run of it, run one of its jobs with act."""

from github_app.simulator.workflow.act import JobOutcome, environment_of, run_job
from github_app.simulator.workflow.calling import Given
from github_app.simulator.workflow.loading import library, load
from github_app.simulator.workflow.model import Job, JobInstance, Workflow, WorkflowError
from github_app.simulator.workflow.run import Run

__all__ = [
    "Given",
    "Job",
    "JobInstance",
    "JobOutcome",
    "Run",
    "Workflow",
    "WorkflowError",
    "environment_of",
    "library",
    "load",
    "run_job",
]

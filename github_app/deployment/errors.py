"""How Modal's errors about the App's own objects become ours."""

from github_app.errors import DeploymentError
from github_app.modal_errors import Boundary

deployment_errors = Boundary(DeploymentError, 60.0)

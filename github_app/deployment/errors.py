"""How Modal's errors about the App's own objects become ours."""

import modal.exception

from github_app.errors import DeploymentError
from github_app.modal_errors import Boundary

_LOG_IN = "Modal's token is missing or refused: run `modal setup`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"

deployment_errors = Boundary(DeploymentError, 60.0, {modal.exception.AuthError: (DeploymentError, _LOG_IN)})

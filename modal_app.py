"""The App on Modal: a web function and a schedule. `modal deploy modal_app.py` is all.

While this is imported nothing asks the network or needs a secret. The settings come from the Modal Secret
`<name>-settings`, which has to exist before the first deploy; the administrator's modal-runner.toml is packed with the
deployment when it lies here, or where MODAL_RUNNER_CONFIG says.
"""

import os
from pathlib import Path

import modal

import github_app
from github_app.routing.catalog import RUNNER_VERSION
from github_app.sandboxes.image import checksum, pin_builder, runner_image
from github_app.start_up import uncollected

_HERE = Path(__file__).parent
_PACKAGE = Path(github_app.__file__).parent
_NAME = os.environ.get("MODAL_APP_NAME", "modal-runner")
# A GPU create may block for 21 minutes inside a delivery's background task.
_TIMEOUT_S = 1800
_REQUIREMENTS = _HERE / "requirements" / ("otel.txt" if os.environ.get("WITH_OTEL") else "app.txt")

image = (
    modal.Image.debian_slim(python_version="3.12")
    .pip_install_from_requirements(str(_REQUIREMENTS))
    .env({"MODAL_APP_NAME": _NAME, "MODAL_RUNNER_CONFIG": "/root/modal-runner.toml"})
    .add_local_dir(_PACKAGE, "/root/github_app", ignore=["**/__pycache__", "simulator", "demo", "simulate", "soak"])
)
_VERSION = os.environ.get("RUNNER_VERSION") or RUNNER_VERSION
_SHA256 = os.environ.get("RUNNER_SHA256") or checksum(_VERSION)
if modal.is_local():
    if _SHA256 is None:
        raise SystemExit(f"RUNNER_SHA256 is not set: the archive of actions/runner {_VERSION} could not be checked")
    pin_builder()
    _FILE = Path(os.environ.get("MODAL_RUNNER_CONFIG") or _HERE / "modal-runner.toml")
    image = image.add_local_file(_FILE if _FILE.exists() else os.devnull, "/root/modal-runner.toml")

app = modal.App(_NAME)
settings = modal.Secret.from_name(f"{_NAME}-settings")


# One container at most: it takes thousands of deliveries a second, far more than GitHub lets one App act on.
@app.function(
    image=image,
    secrets=[settings],
    max_containers=1,
    min_containers=int(os.environ.get("KEEP_WARM") or 0),
    timeout=_TIMEOUT_S,
)
@modal.concurrent(max_inputs=500)
@modal.asgi_app()
def web():  # type: ignore[no-untyped-def]  # noqa: ANN201 - the container's Starlette is none of the deployer's
    """Take GitHub's deliveries."""
    with uncollected():
        from github_app.deployment.entrypoints import web_app

        return web_app()


# A Cron, for a Period begins anew at every deploy. The container goes as soon as the sweep has ended.
@app.function(
    image=image,
    secrets=[settings],
    schedule=modal.Cron(os.environ.get("SWEEP_CRON") or "* * * * *"),
    timeout=_TIMEOUT_S,
    scaledown_window=2,
)
async def sweep() -> None:
    """Repair what events have missed."""
    with uncollected():
        from github_app.deployment.entrypoints import sweep as sweep_once

    await sweep_once()


# Nothing calls this: a deploy builds the images that its functions use, and so it builds the runner's.
@app.function(
    image=runner_image(_VERSION, _SHA256).image(),
    include_source=False,
)
def runner() -> None:
    """Hold the image of the sandboxes."""

"""Which of Modal's errors may be none the next time: no machine free, a throttle, a cap, an outage."""

import modal.exception

RETRYABLE = (
    modal.exception.ResourceExhaustedError,
    modal.exception.ServiceError,
    modal.exception.ConnectionError,
    modal.exception.InternalError,
    modal.exception.TimeoutError,
)

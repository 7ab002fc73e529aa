"""How this project talks to an MLflow server: without long waits, and with one-line errors of its own tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trading.errors import EngineUnavailableError, ModelError

# MLflow's own defaults retry for minutes when the server is gone; a caller here reruns instead.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"})
_UNREACHABLE = ("API request to", "Connection refused", "Max retries exceeded", "timed out")


def be_patient_only_briefly() -> None:
    """Set how long MLflow's client waits, where the process has not said so itself."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)


@contextmanager
def mlflow_errors(uri: str, what: str) -> Iterator[None]:
    """Turn what MLflow and its HTTP client raise into this project's errors.

    Args:
        uri: The server, for the message.
        what: What was looked for or done, for the message.

    Raises:
        EngineUnavailableError: the server is gone or broken.
        ModelError: it has no such model, version or alias, or refuses what was asked.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        text = _first_line(error)
        if error.error_code in _ABSENT:
            raise ModelError(f"expected {what} in the registry, found none: {text}") from error
        if any(mark in text for mark in _UNREACHABLE):
            raise EngineUnavailableError(_gone(uri, what)) from error
        raise EngineUnavailableError(f"MLflow at {uri} failed at {what}: {text}") from error
    except (requests.RequestException, ConnectionError) as error:
        raise EngineUnavailableError(_gone(uri, what)) from error


def _gone(uri: str, what: str) -> str:
    return f"expected MLflow at {uri} to answer for {what}, found no answer; run `tradeloom up`, then this again"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__

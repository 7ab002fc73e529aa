"""How a service reads its settings, and what it sets for the whole process before anything heavy is imported."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping

from trading.errors import InputError
from trading.learners.environment import pin_numeric_environment
from trading.telemetry import log_json_lines

# For `@bentoml.service(envs=...)`: BentoML starts its workers with these, unless the caller set them otherwise.
PINNED_ENVS = [{"name": name, "value": value} for name, value in pin_numeric_environment({}).items()]

# The registry's client waits minutes for a registry that is gone; a service must say at once that it is not there.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def prepare_process() -> None:
    """Set what holds for the whole process: JSON logs, and a registry client that gives up soon."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    log_json_lines()
    # BentoML's own switch leaves this one on; a line per request is not worth its cost.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


def required(environ: Mapping[str, str], name: str) -> str:
    """Return a setting that has no default.

    Raises:
        InputError: it is missing or empty.
    """
    value = environ.get(name, "")
    if not value:
        raise InputError(f"expected the setting {name}, found none; `tradeloom up` sets it, or set it yourself")
    return value


def positive_number(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a setting as a number above zero.

    Raises:
        InputError: it is something else.
    """
    text = environ.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError as error:
        raise InputError(f"expected a number above zero as {name}, found {text!r}") from error
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"expected a number above zero as {name}, found {text!r}")
    return value

"""Logs as JSON lines, and the one trace id that runs from the Dagster run to the fill.

What does not live here: metrics (each service declares its own) and the events of a session (the ledger's).
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

TRACE_HEADER = "x-tradeloom-trace-id"
_trace_id: ContextVar[str | None] = ContextVar("tradeloom_trace_id", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def current_trace_id() -> str:
    """Return the trace id in force; a new one is made for a caller that has none."""
    trace_id = _trace_id.get()
    if trace_id is None:
        trace_id = uuid.uuid4().hex
        _trace_id.set(trace_id)
    return trace_id


@contextmanager
def tracing(trace_id: str | None = None) -> Iterator[str]:
    """Run a block under `trace_id` (a new one when none is given)."""
    token = _trace_id.set(trace_id or uuid.uuid4().hex)
    try:
        yield current_trace_id()
    finally:
        _trace_id.reset(token)


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, trace id and whatever `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": _trace_id.get(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json_lines(level: int = logging.INFO, stream: TextIO = sys.stderr) -> None:
    """Send every log record of this process to `stream` as JSON lines. Called by processes, never at import."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)

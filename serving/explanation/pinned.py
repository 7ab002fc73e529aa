"""Asks a module of ours a question in a process of its own, whose numeric environment is pinned before any import.

Question and answer are JSON; floats travel as hexadecimal text, which loses nothing. What is asked lives with who asks:
answering.py, analyst_answering.py, score_answering.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from trading.errors import ModelError


def ask_pinned(
    module: str, question: Any, settings: Mapping[str, str], *, who: str, timeout_seconds: float
) -> dict[str, Any]:
    """Return what `module`, run as a program, answers; `settings` are variables that it shall see, `who` is its name
    in a complaint.

    Raises:
        ModelError: the process failed, or gave no answer in time.
    """
    from trading.learners.environment import pin_numeric_environment

    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(question),
            env={**os.environ, **pin_numeric_environment({}), **settings},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"expected the {who} to answer within {timeout_seconds:g} s, found silence") from error
    if done.returncode != 0:
        found = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise ModelError(f"expected the {who} to answer, found: {found}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

"""What every peer does: read a question per line, answer a line. Nothing but the standard library.

A peer is `serve({"load": load, "round": round_})`; the question {"do": "round", "size": 3} calls round_(size=3).
What it returns is the answer; a call that returns None is timed and answers {"seconds": ...}.
"""

import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")


def serve(calls):
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    for line in sys.stdin:
        question = json.loads(line)
        try:
            begun = time.perf_counter()
            answer = calls[question.pop("do")](**question)
            passed = time.perf_counter() - begun
            answer = {"seconds": passed} if answer is None else answer
        except Exception as error:  # noqa: BLE001 - whatever it is goes to the asker
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

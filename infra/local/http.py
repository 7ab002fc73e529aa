"""Asking a local HTTP service how it is, past any proxy that the environment names."""

from __future__ import annotations

import urllib.error
import urllib.request

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_problem(url: str, *, timeout: float = 3.0) -> str | None:
    """Return why this address does not answer 200; None if it does."""
    try:
        with _DIRECT.open(url, timeout=timeout) as answer:
            return None if answer.status == 200 else f"it answered {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"it answered {error.code}"
    except OSError as error:
        return str(getattr(error, "reason", error)) or type(error).__name__

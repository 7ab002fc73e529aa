"""Requests to a vendor: paced by its declared limit, tried again where that can help, bounded in number and in time.

Tried again: a cut or refused connection, a slow or truncated answer, 429 and 5xx; after the vendor's own Retry-After
(seconds or a date) or after a wait that doubles, with jitter. Never tried again: every other status. An error names the
vendor and the path, never the query, a header or a credential.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trading.adapters.sources.answers import Answer, ConnectionCut, may_help, retry_after
from trading.adapters.sources.pace import pace_of
from trading.errors import CredentialsError, UnreadablePayloadError, VendorRefusedError, VendorUnavailableError

if TYPE_CHECKING:
    import httpx

Send = Callable[[], Answer]


@dataclass(frozen=True)
class Patience:
    """How long a request is tried: all waits together, each answer, and how often; times in seconds."""

    most_tries: int = 6
    most_waiting: float = 300.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    to_connect: float = 10.0
    to_answer: float = 60.0


@dataclass(frozen=True)
class Calls:
    """The way to ask one vendor.

    Attributes:
        base_url: Without a slash at its end.
        secrets: Name of the environment variable -> credential; they go into headers only.
        settings: Name of the environment variable -> what the user set, of those that the vendor declares.
    """

    vendor: str
    base_url: str
    requests_per_minute: int
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: Patience = Patience()
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)
    jitter: Callable[[float, float], float] = field(default=random.uniform, repr=False)
    _closing: ExitStack = field(default_factory=ExitStack, init=False, repr=False, compare=False)

    def __enter__(self) -> Calls:
        """Return the calls; leaving closes what was opened."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        self._closing.close()

    def json(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer to a GET of `base_url` + `path`, which is whole JSON (`Answer.value`).

        Raises:
            VendorUnavailableError: no good answer after every try.
            VendorRefusedError, CredentialsError: the vendor refuses what was asked, or who asks.
        """
        return self.attempt(lambda: self.once(self.base_url + path, params, headers), path, Answer.value)

    def get(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer to a GET of any body, as `json` does."""
        return self.attempt(lambda: self.once(self.base_url + path, params, headers), path)

    def attempt(
        self,
        send: Send,
        path: str,
        check: Callable[[Answer], object] = lambda _: None,
        *,
        accepts: Collection[int] = (),
    ) -> Answer:
        """Return the first good answer of `send`, a request through whatever client the vendor needs.

        Args:
            send: Sends once; raises ConnectionCut where no whole answer came.
            path: What is asked for, in errors; no query.
            check: Raises UnreadablePayloadError for a body that is not whole.
            accepts: Statuses that are an answer too, such as 404 for a symbol that the vendor does not have.
        """
        waited, found = 0.0, ""
        for tried in range(1, self.patience.most_tries + 1):
            pace_of(self.vendor, self.requests_per_minute).wait(self.pause)
            told: float | None = None
            try:
                answer = send()
                if answer.is_good or answer.status in accepts:
                    check(answer)
                    return answer
                found, told = f"status {answer.status}", retry_after(answer, datetime.now(UTC))
                if not may_help(answer.status):
                    raise self._refusal(answer, path)
            except ConnectionCut as error:
                found = str(error)
            except UnreadablePayloadError:
                found = "an answer that is not whole"
            wait = told or self._wait(tried)  # "after 0 seconds" is no leave to hammer
            if tried == self.patience.most_tries or waited + wait > self.patience.most_waiting:
                raise self._unavailable(path, found, tried, told)
            self.pause(wait)
            waited += wait
        raise AssertionError("the last try returns or raises")

    def once(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        follows: bool = False,
    ) -> Answer:
        """Send one GET of a whole address and return its answer, whatever its status; for `attempt`.

        Args:
            follows: Go where a redirection says; of no use with a credential, which is another host's then.

        Raises:
            ConnectionCut: no whole answer came.
        """
        import httpx

        late = time.monotonic() + self.patience.to_answer  # httpx bounds each read; a trickle would have no end
        try:
            with self._client.stream("GET", url, params=params, headers=headers, follow_redirects=follows) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > late:
                        raise ConnectionCut(f"an answer slower than {self.patience.to_answer:g} s")
                return Answer(response.status_code, {**response.headers}, bytes(body))
        except httpx.TimeoutException as error:
            raise ConnectionCut("no answer in time") from error
        except httpx.RequestError as error:  # redirections without an end among them
            raise ConnectionCut(f"a cut connection ({type(error).__name__})") from error

    def closing(self, close: Callable[[], object]) -> None:
        """Call `close` when the calls are closed: for a vendor with a client of its own."""
        self._closing.callback(close)

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        # It logs every address with its query, which may hold a key; our errors say what was asked without one.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        client = httpx.Client(timeout=httpx.Timeout(self.patience.to_answer, connect=self.patience.to_connect))
        self.closing(client.close)
        return client

    def _wait(self, tried: int) -> float:
        longest = min(self.patience.first_wait * 2 ** (tried - 1), self.patience.longest_wait)
        return self.jitter(longest / 2, longest)

    def _refusal(self, answer: Answer, path: str) -> VendorRefusedError | CredentialsError:
        said = answer.beginning(self.secrets.values())
        where = f"{self.vendor} at {path}: status {answer.status}" + (f", {said}" if said else "")
        if answer.status in (401, 403):
            names = " and ".join(self.secrets)
            look = f"check {names} in the environment" if names else "it may refuse this address"
            return CredentialsError(f"expected {self.vendor} to let us in, found {where}; {look}")
        return VendorRefusedError(f"expected an answer, found {where}; ask it for something that it has")

    def _unavailable(self, path: str, found: str, tries: int, told: float | None) -> VendorUnavailableError:
        later = f" in {told:.0f} s" if told else " later"
        return VendorUnavailableError(
            f"expected {self.vendor} at {urlsplit(self.base_url).netloc}{path} to answer, found {found} after {tries} "
            f"tries; run again{later}: what was fetched is kept"
        )

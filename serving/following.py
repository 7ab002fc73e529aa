"""Follows an alias of the registry: a service serves what it points at, without a restart.

A follower asks the registry every few seconds which version the alias names. A new one is loaded, tested and only then
put in place, in one assignment, so a request sees the old model or the new one and never half of either. While the
registry is gone the last good model keeps serving; before the first good one the service lives and is not ready.
The registry offers no push that works on loopback, hence a poll. What a model is, the service says.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from trading.errors import TradeloomError

ModelT = TypeVar("ModelT")
LoadedT_co = TypeVar("LoadedT_co", covariant=True)
_LOG = logging.getLogger(__name__)


class ModelSource(Protocol[LoadedT_co]):
    """Where versions come from: the registry, seen by one service."""

    def resolve(self, alias: str) -> str:
        """Return the version that `alias` names.

        Raises:
            ModelError: there is no such alias.
            EngineUnavailableError: the registry does not answer.
        """
        ...

    def load(self, version: str) -> LoadedT_co:
        """Return a version, loaded and tested.

        Raises:
            ModelHashError: its weights are not the recorded ones.
            ModelError: there is no such version, or it fails its test.
        """
        ...


@dataclass(frozen=True)
class Served(Generic[ModelT]):
    """A model in place, and the version it is."""

    version: str
    model: ModelT


class VersionCache(Generic[ModelT]):
    """Loaded versions, the least recently used dropped first; a version never changes, so it is loaded once."""

    def __init__(self, source: ModelSource[ModelT], size: int = 4) -> None:
        self._source = source
        self._size = size
        self._loaded: OrderedDict[str, ModelT] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def get(self, version: str) -> ModelT:
        """Return a version, loading it the first time; loaded ones are never kept waiting by one that loads.

        Raises:
            TradeloomError: as `ModelSource.load`.
        """
        found = self._found(version)
        if found is not None:
            return found
        with self._loading:
            found = self._found(version)
            return self._load(version) if found is None else found

    def _found(self, version: str) -> ModelT | None:
        with self._lock:
            if version in self._loaded:
                self._loaded.move_to_end(version)
            return self._loaded.get(version)

    def _load(self, version: str) -> ModelT:
        model = self._source.load(version)
        with self._lock:
            self._loaded[version] = model
            while len(self._loaded) > self._size:
                self._loaded.popitem(last=False)
        # Long-lived objects leave the collector's sight: a full collection over them stalls requests.
        gc.collect()
        gc.freeze()
        return model


class AliasFollower(Generic[ModelT]):
    """Keeps the model that an alias names in place."""

    def __init__(
        self,
        source: ModelSource[ModelT],
        versions: VersionCache[ModelT],
        alias: str,
        poll_seconds: float,
        on_swap: Callable[[str], None] = lambda _version: None,
    ) -> None:
        self.alias = alias
        self._source = source
        self._versions = versions
        self._poll_seconds = poll_seconds
        self._on_swap = on_swap
        self._served: Served[ModelT] | None = None
        self._problem: str | None = f"alias {alias!r} has not been read yet"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{alias}", daemon=True)

    @property
    def served(self) -> Served[ModelT] | None:
        """Return what is served now, None before the first good model."""
        return self._served

    @property
    def problem(self) -> str | None:
        """Return why the alias cannot be followed now, None if it is."""
        return self._problem

    def start(self) -> None:
        """Begin to follow, in a thread of its own; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is served stays."""
        self._stop.set()

    def follow_once(self) -> None:
        """Read the alias once and put its version in place if it moved."""
        try:
            version = self._source.resolve(self.alias)
            if self._served is None or self._served.version != version:
                self._served = Served(version, self._versions.get(version))
                self._on_swap(version)
                _LOG.info("serving a new version", extra={"alias": self.alias, "version": version})
            self._problem = None
        except TradeloomError as error:
            self._report(str(error))
        except Exception as error:  # noqa: BLE001  # a follower that dies of one bad answer never serves again
            self._report(f"{type(error).__name__}: {error}")

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            _LOG.warning("cannot follow the alias", extra={"alias": self.alias, "problem": problem})
        self._problem = problem

    def _run(self) -> None:
        while not self._stop.is_set():
            self.follow_once()
            self._stop.wait(self._poll_seconds)

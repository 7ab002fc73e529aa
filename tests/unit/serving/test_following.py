"""An alias is followed: swapped whole, never by something broken, and not lost with the registry."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from serving.following import AliasFollower, VersionCache
from trading.errors import EngineUnavailableError, ModelError, ModelHashError


@dataclass
class Registry:
    """A source whose alias and failures a test sets."""

    version: str = "1"
    failure: Exception | None = None
    broken: dict[str, Exception] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)

    def resolve(self, alias: str) -> str:
        if self.failure is not None:
            raise self.failure
        return self.version

    def load(self, version: str) -> str:
        self.loads.append(version)
        if version in self.broken:
            raise self.broken[version]
        return f"model {version}"


def following(registry: Registry) -> tuple[AliasFollower[str], list[str]]:
    swaps: list[str] = []
    return AliasFollower(registry, VersionCache(registry), "champion", 0.01, swaps.append), swaps


def test_before_the_first_look_nothing_is_served_and_it_says_so() -> None:
    follower, _ = following(Registry())
    assert follower.served is None
    assert follower.problem == "alias 'champion' has not been read yet"


def test_a_moved_alias_is_swapped_and_an_unmoved_one_loads_nothing() -> None:
    registry = Registry()
    follower, swaps = following(registry)
    follower.follow_once()
    follower.follow_once()
    registry.version = "2"
    follower.follow_once()
    assert follower.served is not None
    assert (follower.served.version, follower.served.model) == ("2", "model 2")
    assert (registry.loads, swaps, follower.problem) == (["1", "2"], ["1", "2"], None)


def test_a_rollback_loads_nothing_again() -> None:
    registry = Registry()
    follower, swaps = following(registry)
    for version in ("1", "2", "1"):
        registry.version = version
        follower.follow_once()
    assert (registry.loads, swaps) == (["1", "2"], ["1", "2", "1"])


@pytest.mark.parametrize(
    "failure", [ModelHashError("the weights are others"), ModelError("fails its test"), ValueError("anything")]
)
def test_a_version_that_cannot_serve_leaves_the_old_one_in_place(failure: Exception) -> None:
    registry = Registry(broken={"2": failure})
    follower, _ = following(registry)
    follower.follow_once()
    registry.version = "2"
    follower.follow_once()
    assert follower.served is not None
    assert follower.served.version == "1"
    assert follower.problem is not None
    assert str(failure) in follower.problem


def test_a_first_version_whose_weights_are_wrong_is_never_served() -> None:
    follower, _ = following(Registry(broken={"1": ModelHashError("expected weights ab, found cd")}))
    follower.follow_once()
    assert follower.served is None
    assert follower.problem == "expected weights ab, found cd"


def test_a_registry_that_comes_later_is_followed_and_one_that_goes_is_outlived() -> None:
    registry = Registry(failure=EngineUnavailableError("no registry"))
    follower, _ = following(registry)
    follower.follow_once()
    assert (follower.served, follower.problem) == (None, "no registry")
    registry.failure = None
    follower.follow_once()
    registry.failure = EngineUnavailableError("gone again")
    follower.follow_once()
    assert follower.served is not None
    assert follower.problem == "gone again"


def test_the_cache_keeps_what_was_used_last() -> None:
    registry = Registry()
    cache = VersionCache(registry, size=2)
    for version in ("1", "2", "1", "3", "1", "2"):
        cache.get(version)
    assert registry.loads == ["1", "2", "3", "2"]


def test_a_thread_follows_until_it_is_stopped() -> None:
    follower, _ = following(Registry())
    follower.start()
    for _ in range(500):
        if follower.served is not None:
            break
        follower._stop.wait(0.01)
    follower.stop()
    follower._thread.join(5)
    assert follower.served is not None
    assert not follower._thread.is_alive()


def test_a_loaded_version_is_not_kept_waiting_by_one_that_loads() -> None:
    registry = Registry()
    cache = VersionCache(registry)
    cache.get("1")
    with cache._loading:
        assert cache.get("1") == "model 1"

"""State folders written by earlier landings open, explain and replay under this code, and take new sessions."""

from __future__ import annotations

import lzma
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk

STATES = sorted((Path(__file__).resolve().parents[1] / "fixtures" / "states").glob("*.tar.xz"))


def _cases() -> list[object]:
    """The newest state belongs to every run; the older ones, half a minute each, to `make test-all`."""
    names = {path: path.name.removesuffix(".tar.xz") for path in STATES}
    return [pytest.param(path, id=names[path], marks=() if path == STATES[-1] else pytest.mark.long) for path in STATES]


@pytest.fixture(scope="module", params=_cases())
def earlier(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A desk whose state folder was restored from an earlier landing's backup."""
    parent = Path(tempfile.mkdtemp(prefix="tl-state-")).resolve()
    parent.chmod(0o711)  # PostgreSQL's user passes through; else its data would lie outside and stay there
    desk = Desk(parent / "home", parent)
    backup = parent / "backup.tar"
    with lzma.open(request.param) as packed, backup.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    try:
        desk.command("restore", str(backup))
        desk.up()
        yield desk
    finally:
        desk.down()
        shutil.rmtree(parent, ignore_errors=True)


def test_there_is_a_state_to_open():
    assert STATES


def test_its_fills_verify(earlier: Desk):
    fills = earlier.explained("fill", "--all")
    assert fills
    assert [fill["fill_id"] for fill in fills if not fill["verified"]] == []


def test_its_decisions_replay(earlier: Desk):
    """The lock file may have changed since: then replay says that the environment differs, and every level still holds."""
    with earlier.sources() as sources:
        from serving.explanation.replay import replay

        decisions = replay(sources, None)
    assert decisions
    assert [one for one in decisions if not all(one.levels.values())] == []


def test_it_takes_a_new_session_on_its_data(earlier: Desk):
    before = earlier.rows("select count(*) from trading.sessions")[0][0]
    report = earlier.trade("later")
    assert report.status == "finished"
    assert report.decisions > 0
    assert earlier.rows("select count(*) from trading.sessions")[0][0] == before + 1

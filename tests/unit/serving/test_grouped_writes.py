"""Rows that wait at once are written together, and no request is answered before its own row is in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving.grouped_writes import GroupedWrites


class Table:
    """Takes rows in groups; the first write waits until it is let go, and `refused` rows spoil their group."""

    def __init__(self, refused: frozenset[int] = frozenset()) -> None:
        self.groups: list[list[int]] = []
        self.let_go = threading.Event()
        self.refused = refused

    def write(self, rows: Sequence[int]) -> None:
        assert self.let_go.wait(10)
        if self.refused & set(rows):
            raise OSError("the disk is full")
        self.groups.append(list(rows))


async def _until(is_so) -> None:
    for _ in range(1_000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to be so in time")


async def _added(table: Table, rows: Sequence[int]) -> list[object]:
    """Add the first row, then the others while it is being written; return what became of each."""
    writes = GroupedWrites(table.write)
    first = asyncio.create_task(writes.add(rows[0]))
    await asyncio.sleep(0.02)
    others = [asyncio.create_task(writes.add(row)) for row in rows[1:]]
    await asyncio.sleep(0.02)
    assert not first.done(), "nobody is answered before the row is in"
    table.let_go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_rows_that_gather_during_a_write_go_together():
    table = Table()
    assert asyncio.run(_added(table, [1, 2, 3, 4])) == [None] * 4
    assert table.groups == [[1], [2, 3, 4]]


def test_each_request_of_a_group_that_failed_is_told_and_the_next_group_is_written():
    table = Table(refused=frozenset({1}))
    first, *others = asyncio.run(_added(table, [1, 2, 3]))
    assert isinstance(first, OSError)
    assert (others, table.groups) == ([None, None], [[2, 3]])


def test_a_request_that_was_given_up_keeps_no_other_from_its_answer():
    async def given_up() -> list[list[int]]:
        table = Table()
        writes = GroupedWrites(table.write)
        gone, kept = asyncio.create_task(writes.add(1)), asyncio.create_task(writes.add(2))
        await asyncio.sleep(0.02)
        gone.cancel()
        table.let_go.set()
        await kept
        with pytest.raises(asyncio.CancelledError):
            await gone
        await writes.add(3)
        return table.groups

    assert asyncio.run(given_up()) == [[1, 2], [3]]


def test_a_writer_that_rested_writes_again():
    async def twice() -> list[list[int]]:
        table = Table()
        table.let_go.set()
        writes = GroupedWrites(table.write)
        await writes.add(1)
        await _until(lambda: writes._writer is not None and writes._writer.done())
        await writes.add(2)
        return table.groups

    assert asyncio.run(twice()) == [[1], [2]]

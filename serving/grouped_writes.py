"""Rows of requests that are answered at once, written together: each request waits until its own row is in.

While one transaction is under way, the rows of further requests gather, and go with the next one: the more requests
there are, the fewer statements each of them costs. Nothing is lost that was answered: the answer comes after the row.
Databases order their own commits so (PostgreSQL's commit_delay). What is written, and how, the caller says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

RowT = TypeVar("RowT")


class GroupedWrites(Generic[RowT]):
    """The rows that wait, and one writer. For one event loop; `write` is called in a thread, never twice at once."""

    def __init__(self, write: Callable[[Sequence[RowT]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[RowT, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, row: RowT) -> None:
        """Return when `row` is written.

        Raises:
            Exception: whatever `write` raised for the rows that this one was written with.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((row, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await written

    async def _write_all(self) -> None:
        of_its_own = anyio.CapacityLimiter(1)  # slow requests must not keep it from a thread
        while self._waiting:
            taken, self._waiting = self._waiting, []
            problem = await self._problem_of([row for row, _ in taken], of_its_own)
            for _, written in taken:
                if written.done():  # its request was given up
                    continue
                written.set_result(None) if problem is None else written.set_exception(problem)

    async def _problem_of(self, rows: Sequence[RowT], limiter: anyio.CapacityLimiter) -> Exception | None:
        try:
            await anyio.to_thread.run_sync(self._write, rows, limiter=limiter)
        except Exception as error:  # noqa: BLE001  # every one of these requests says what became of its row
            return error
        return None

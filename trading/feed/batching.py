"""Messages into batches: of one kind, of a bounded size, and never two words about one bar or trade in one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trading.feed.messages import FeedKind, Message

MOST_MESSAGES = 2_000


def batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Yield the messages in their order by kind, cut where a batch is full or a key comes again."""
    of_kind: dict[FeedKind, list[Message]] = {}
    for message in messages:
        of_kind.setdefault(message.kind, []).append(message)
    for several in of_kind.values():
        yield from _cut(several)


def _cut(messages: list[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    keys: set[tuple[str, str]] = set()
    for message in messages:
        name = (message.symbol, message.key)
        # The correction of a trade speaks of two, by names of its own: it stands alone.
        is_alone = message.kind == "trades" and (message.corrects or (bool(batch) and batch[-1].corrects))
        if batch and (is_alone or name in keys or len(batch) == MOST_MESSAGES):
            yield batch
            batch, keys = [], set()
        batch.append(message)
        keys.add(name)
    if batch:
        yield batch

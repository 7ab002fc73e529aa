"""How big everything is and what grows: tables, Dagster's log, objects, the cache; with what can be done about each.

Each look is kept in `sizes.json` of the state folder, so that the next one can say what has grown since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from infra.errors import NotRunningError
from infra.local.disk import in_words, used_bytes
from infra.local.endpoints import Endpoints
from infra.local.home import Home, write_private
from infra.local.object_store import minio_client
from infra.local.postgres import database_url

MOST_TABLES = 8
_LOOKS_KEPT = 90
_LOOKS_APART = timedelta(hours=1)

# A partitioned table counts as one. Row counts are PostgreSQL's own estimates: counting would take minutes.
_TABLES = """
select
    coalesce(pg_partition_root(c.oid), c.oid)::regclass::text as name,
    sum(greatest(c.reltuples, coalesce(s.n_live_tup, 0), 0))::bigint as row_count,
    sum(pg_table_size(c.oid))::bigint as bytes,
    sum(pg_indexes_size(c.oid))::bigint as index_bytes
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_stat_all_tables as s on c.oid = s.relid
where c.relkind = 'r' and n.nspname in ('raw', 'staging', 'intermediate', 'marts', 'features', 'trading')
group by 1
order by sum(pg_total_relation_size(c.oid)) desc, 1
limit %s
"""

_EVENT_LOG = """
select
    greatest(c.reltuples, coalesce(s.n_live_tup, 0), 0)::bigint,
    pg_table_size(c.oid),
    pg_indexes_size(c.oid),
    (select e.timestamp at time zone 'UTC' from event_logs as e order by e.id limit 1)
from pg_class as c
left join pg_stat_all_tables as s on c.oid = s.relid
where c.oid = 'event_logs'::regclass
"""

MOST_OBJECTS = 1_000_000
_NO_DATA = (".tradeloom",)
_READ_AGAIN = "kept for good: rows are read again from them"
_OBJECT_REMEDIES = {"mlflow": "versions that nothing refers to go with `tradeloom purge models`"}
_COMPACT = "superseded versions go with `tradeloom features compact`"
_ANSWERS = "old answers go with `tradeloom purge answers`"
_FOR_GOOD = "kept for good: what is derived is made of it again"
_REMEDIES = {
    "marts.indicators": _COMPACT,
    "marts.indicators_extended": _COMPACT,
    "features.daily": _COMPACT,
    **dict.fromkeys(
        [f"trading.served_{name}" for name in ("predictions", "scores", "vectors", "sentiments")], _ANSWERS
    ),
    "marts.market_data": "made anew from raw by each dbt run",
}


@dataclass(frozen=True)
class Size:
    """One thing that takes space.

    Attributes:
        bytes: Of the thing itself; `index_bytes` beside it.
        count: Rows or objects, as far as they can be told cheaply.
        note: More about it, such as its age.
        remedy: What can be done about it.
        grown: Bytes more than at the look of `since`, indexes included; None where it was not there.
    """

    name: str
    bytes: int
    remedy: str
    index_bytes: int = 0
    count: int | None = None
    note: str = ""
    grown: int | None = None
    since: str | None = None

    @property
    def total(self) -> int:
        """Bytes with indexes."""
        return self.bytes + self.index_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return the size as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the size in one line: how much, of what, what has grown, what can be done."""
        indexes = f" + {in_words(self.index_bytes)} of indexes" if self.index_bytes else ""
        count = (
            "" if self.count is None else f", {self.count:,} {'objects' if self.name.startswith('objects') else 'rows'}"
        )
        note = f" {self.note}" if self.note else ""
        since = (
            f"; {'+' if self.grown >= 0 else ''}{in_words(self.grown)} since {self.since}"
            if self.grown is not None
            else ""
        )
        return f"{in_words(self.bytes)}{indexes}{count}{note}{since}; {self.remedy}"


def measure(environ: Mapping[str, str], now: datetime) -> list[Size]:
    """Return what takes space, with what has grown since the look before, and keep this look.

    What does not run is left out.
    """
    home = Home.resolve(environ)
    endpoints = Endpoints.resolve(environ)
    found = [*_measured(_tables, endpoints), *_measured(_event_log, endpoints), *_measured(_objects, endpoints)]
    found += _folders(home)
    before = _last_look(home.path / "sizes.json")
    _keep(home, before, found, now)
    return [_with_growth(size, before) for size in found]


def _measured(what: Any, endpoints: Endpoints) -> list[Size]:
    try:
        return list(what(endpoints))
    except NotRunningError:
        return []
    except psycopg.OperationalError:
        return []


def _tables(endpoints: Endpoints) -> Iterator[Size]:
    with psycopg.connect(endpoints.postgres_url, connect_timeout=10) as conn:
        for name, count, size, indexes in conn.execute(_TABLES, [MOST_TABLES]):
            yield Size(f"table {name}", size, _REMEDIES.get(name, _FOR_GOOD), indexes, count)


def _event_log(endpoints: Endpoints) -> Iterator[Size]:
    url = database_url(endpoints.postgres_url, "dagster")
    with psycopg.connect(url, connect_timeout=10) as conn:
        if conn.execute("select to_regclass('event_logs')").fetchone() == (None,):
            return
        count, size, indexes, oldest = conn.execute(_EVENT_LOG).fetchone() or (0, 0, 0, None)
    note = f"since {oldest:%Y-%m-%d}" if oldest else "empty"
    remedy = "old runs go with `tradeloom purge runs`, daily with the schedule `purge_event_log`"
    yield Size("Dagster's event log", size, remedy, indexes, count, note)


def _objects(endpoints: Endpoints) -> Iterator[Size]:
    """Yield the objects of the bucket by the first part of their key."""
    import minio.error
    import urllib3

    counted: dict[str, tuple[int, int]] = {}
    seen = 0
    try:
        listed = minio_client(endpoints.object_store).list_objects(endpoints.s3_bucket, recursive=True)
        for one in islice(listed, MOST_OBJECTS):
            seen += 1
            part = str(one.object_name).partition("/")[0]
            count, size = counted.get(part, (0, 0))
            counted[part] = (count + 1, size + (one.size or 0))
    except (minio.error.MinioException, urllib3.exceptions.HTTPError, OSError):
        return
    for part, (count, size) in sorted(counted.items(), key=lambda item: -item[1][1]):
        if part not in _NO_DATA:
            note = "of the first million objects" if seen == MOST_OBJECTS else ""
            yield Size(f"objects {part}/", size, _OBJECT_REMEDIES.get(part, _READ_AGAIN), 0, count, note)


def _folders(home: Home) -> Iterator[Size]:
    for name, remedy in (("cache", "goes with `tradeloom purge cache`"), ("reports", "written anew by each main job")):
        if (home.path / name).is_dir():
            yield Size(f"folder {name}", used_bytes(home.path / name), remedy)


def _last_look(file: Path) -> list[dict[str, Any]]:
    """Return the looks that were kept, oldest first; none where the file cannot be read: it only serves comparison."""
    try:
        looks = json.loads(file.read_text())
        return [look for look in looks if isinstance(look["bytes"], dict) and datetime.fromisoformat(look["at"])]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _keep(home: Home, before: list[dict[str, Any]], found: list[Size], now: datetime) -> None:
    """Keep a look an hour: two in a row would compare a thing with itself."""
    is_new = not before or now - datetime.fromisoformat(before[-1]["at"]) >= _LOOKS_APART
    if home.path.is_dir() and found and is_new:
        look = {"at": now.astimezone(UTC).isoformat(), "bytes": {size.name: size.total for size in found}}
        write_private(home.path / "sizes.json", json.dumps([*before, look][-_LOOKS_KEPT:]))


def _with_growth(size: Size, before: list[dict[str, Any]]) -> Size:
    if not before or size.name not in before[-1]["bytes"]:
        return size
    return replace(
        size,
        grown=size.total - int(before[-1]["bytes"][size.name]),
        since=f"{datetime.fromisoformat(before[-1]['at']):%Y-%m-%d %H:%M} UTC",
    )

"""How a warehouse grows: rows x time x disk, through `tradeloom ingest` in blocks, on an embedded server of its own.

`python tests/benchmarks/growth.py 1d 10000000` takes in 10 blocks of 1,000,000 daily bars and prints a JSON line after
each: the command's wall and CPU time, its memory and that of the server's processes, what the disk holds by table, and
how long questions take. `1m`: bars of 1 minute. It is no case of `make bench`: it takes hours and tens of gigabytes.
The lines stay in .benchmarks/, and `growth_page.py` writes them into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import growth_bars
import psycopg
from harness import CHECKOUT, HERE, Bench

ASKED_AT = {"1d": datetime(2020, 6, 1, 21, tzinfo=UTC), "1m": datetime(2010, 2, 1, 20, tzinfo=UTC)}  # amid the history
VIEW = {"1d": "features.daily", "1m": "marts.indicators"}
KEPT = CHECKOUT / ".benchmarks"
# A partitioned table counts as one, its parts' indexes as well.
_DISK = """
select
    coalesce(pg_partition_root(c.oid), c.oid)::regclass::text as name, sum(pg_table_size(c.oid))::bigint,
    sum(pg_indexes_size(c.oid))::bigint, count(*)
from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and n.nspname in ('raw', 'marts', 'features')
group by 1 having sum(pg_total_relation_size(c.oid)) > 10000000 order by 2 desc
"""


class ServerMemory(threading.Thread):
    """Watches the memory of the server's own processes, the shared buffers left out: each counts them as its own."""

    def __init__(self, postmaster: int) -> None:
        super().__init__(daemon=True)
        self._postmaster, self._ended, self.peak_mb = postmaster, threading.Event(), 0.0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.5):
            try:
                children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
            except FileNotFoundError:  # the server has been stopped
                return
            self.peak_mb = max(self.peak_mb, sum(_anonymous_kb(int(pid)) for pid in children) / 1024)

    def end(self) -> float:
        self._ended.set()
        self.join()
        return round(self.peak_mb)


def _anonymous_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:  # it has ended between the two looks
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def command(arguments: list[str], environment: dict[str, str], postmaster: int) -> dict[str, Any]:
    """Run one command of `tradeloom` and return what it took, and its own answer.

    Raises:
        SystemExit: it failed.
    """
    watched, before = ServerMemory(postmaster), _server_cpu(postmaster)
    done = subprocess.run(
        [sys.executable, str(HERE / "growth_command.py"), *arguments, "--json"],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    answer, took = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    memory = {"server_cpu": _server_cpu(postmaster) - before, "server_peak_mb": watched.end()}
    return {**{name: round(value, 1) for name, value in (took | memory).items()}, "answer": answer}


def _server_cpu(postmaster: int) -> float:
    """Return the CPU seconds of every process of the server that has ended: a command's connections have, after it."""
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def questions(url: str, interval: str, symbols: list[str]) -> dict[str, float]:
    """Return milliseconds, medians of nine: features of 100 symbols and of one, as of a day; one symbol's history."""
    from feature_store import FeatureStore

    store = FeatureStore(url)
    service, moment = store.newest_service("growth", ("close", "rsi_14"), VIEW[interval]), ASKED_AT[interval]
    asked: dict[str, Callable[[], Any]] = {
        "latest of 100": lambda: store.latest(service, symbols[:100], moment, interval=interval),
        "latest of 1": lambda: store.latest(service, symbols[:1], moment, interval=interval),
        "history of 1": lambda: store.features(service, symbols[:1], moment, interval=interval),
    }
    if interval != "1d":
        del asked["history of 1"]
    return {name: round(1000 * statistics.median(_seconds(ask) for _ in range(9)), 2) for name, ask in asked.items()}


def _seconds(ask: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


def disk(url: str) -> dict[str, Any]:
    """Return megabytes: the whole database, and by table its rows' and its indexes'."""
    with psycopg.connect(url, autocommit=True) as conn:
        whole = conn.execute("select pg_database_size(current_database())").fetchone()
        tables = conn.execute(_DISK).fetchall()
    mb = 1_000_000
    return {
        "all_mb": round(whole[0] / mb),
        **{name: [round(rows / mb), round(of / mb), parts] for name, rows, of, parts in tables},
    }


def grow(interval: str, rows: int, block: int) -> None:
    """Print a line for each block, one of a new bar of every symbol, and one of each export."""
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"growth-{interval}.jsonl").unlink(missing_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    _say(interval, {"commit": commit.stdout.strip(), "cores": os.cpu_count(), "load": os.getloadavg()[1]})
    with tempfile.TemporaryDirectory(prefix="tradeloom-growth-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)
        bench = Bench(Path(folder).resolve(), stack)
        url, server = stack.enter_context(bench.database()), stack.enter_context(bench.object_store())
        postmaster = _postmaster(url)
        settings = server.settings
        environment = {
            **os.environ, "PYTHONPATH": str(CHECKOUT), "TRADELOOM_HOME": str(bench.scratch() / "home"),
            "TRADELOOM_POSTGRES_URL": url, "TRADELOOM_S3_ENDPOINT": settings.endpoint,
            "TRADELOOM_S3_ACCESS_KEY": settings.access_key, "TRADELOOM_S3_SECRET_KEY": settings.secret_key,
        }  # fmt: skip
        run = partial(command, environment=environment, postmaster=postmaster)
        ingest = ["ingest", "prices", "--source", "files", "--interval", interval]
        make = growth_bars.daily if interval == "1d" else growth_bars.minutes
        total = 0
        *blocks, last = range(rows // block + 1)
        for number, file in zip([*blocks, last], make(bench.scratch(), block, rows // block), strict=True):
            took = run([*ingest, *(["--live"] if number == last else []), "--file", str(file)])
            published = took.pop("answer")["rows_published"]
            file.unlink()
            total += published
            say = {"disk": disk(url), "ms": questions(url, interval, _symbols(interval))} if number != last else {}
            _say(interval, {"rows": total, "published": published, **took, **say})
        for view in ("raw.price_bars", VIEW[interval]):
            took = run(["features", "export", "--view", view, "--interval", interval])
            _say(interval, {"export": view, "rows": took.pop("answer")["rows"], **took})


def _symbols(interval: str) -> list[str]:
    return [f"D{place:05}" for place in range(100)] if interval == "1d" else [f"M{place:03}" for place in range(50)]


def _postmaster(url: str) -> int:
    with psycopg.connect(url) as conn:
        backend = conn.execute("select pg_backend_pid()").fetchone()[0]
        return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def _say(interval: str, line: dict[str, Any]) -> None:
    with (KEPT / f"growth-{interval}.jsonl").open("a") as out:
        out.write(json.dumps(line) + "\n")
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interval", choices=["1d", "1m"])
    parser.add_argument("rows", type=int)
    parser.add_argument("--block", type=int, default=1_000_000)
    asked = parser.parse_args()
    grow(asked.interval, asked.rows, asked.block)

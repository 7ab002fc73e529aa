"""Killed with -9 anywhere and run again, a session ends with the ids and amounts of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.local.postgres import database_url as database_url_of
from serving.trading_loop.crash_points import CrashPlan, CrashPoint
from trading.errors import InputError

CHILD = Path(__file__).with_name("child_session.py")
BUY, SELL = 1, 2
# Everything but wall times, traces and the numbers that the engine itself counts up.
CONTENT = {
    "sessions": "to_jsonb(t) - 'created_at' - 'finished_at' - 'trace_id'",
    "session_steps": "to_jsonb(t)",
    "decisions": "to_jsonb(t) - 'decided_at' - 'trace_id'",
    "order_intents": "to_jsonb(t)",
    "paper_orders": "to_jsonb(t) - 'accepted_at'",
    "orders": "to_jsonb(t)",
    "fills": "to_jsonb(t)",
    "order_cancellations": "to_jsonb(t)",
    "position_splits": "to_jsonb(t)",
    "postings": "to_jsonb(t) - 'posting_id'",
    "accounts": "to_jsonb(t)",
    "positions": "to_jsonb(t)",
    "portfolio_snapshots": "to_jsonb(t)",
    "events": "to_jsonb(t) - 'recorded_at'",
    "event_anchors": "to_jsonb(t) - 'anchored_at'",
}


@pytest.fixture
def busy_world(world, script):
    """Orders, a split, a sale and a gapped open: every step has something to lose."""
    days = [row[0] for row in world.rows("select session_date from trading.calendar_sessions order by 1")]
    world.bars.publish_split("BBB", days[4], "2")
    script.actions = {
        ("AAA", days[0]): BUY,
        ("BBB", days[0]): BUY,
        ("BBB", days[3]): SELL,
        ("AAA", days[4]): SELL,
        ("AAA", days[5]): BUY,
    }
    return world


@pytest.mark.engines
def test_every_crash_point_completes_to_the_same_books(busy_world, postgres_url, tmp_path):
    template = _name(busy_world.url)
    expected = None
    for number, point in enumerate([None, *CrashPoint]):
        name = f"{template}_{number}"
        _create(postgres_url, name, template)
        url = database_url_of(postgres_url, name)
        try:
            if point is not None:
                killed = _session(url, busy_world.services_url, tmp_path / name, f"{point.value}:1")
                assert killed == -signal.SIGKILL, f"{point}: the session was not killed"
            assert _session(url, busy_world.services_url, tmp_path / name, None) == 0
            found = _content(url)
            expected = expected or found
            for table, rows in found.items():
                assert rows == expected[table], f"{point}: {table} differs"
        finally:
            _drop(postgres_url, name)
    assert len(expected["fills"]) == 5


@pytest.mark.engines
def test_killed_again_and_again_it_still_ends_the_same(busy_world, postgres_url, tmp_path):
    template = _name(busy_world.url)
    contents = []
    for plan in (
        [],
        ["intents_committed:1", "order_submitted:1", "fills_written:1", "bar_marked:2", "anchor_stored:1"],
    ):
        name = f"{template}_again_{len(plan)}"
        _create(postgres_url, name, template)
        url = database_url_of(postgres_url, name)
        try:
            for crash_at in plan:
                assert _session(url, busy_world.services_url, tmp_path / name, crash_at) == -signal.SIGKILL
            assert _session(url, busy_world.services_url, tmp_path / name, None) == 0
            contents.append(_content(url))
        finally:
            _drop(postgres_url, name)
    assert contents[0] == contents[1]


def test_unknown_crash_point_is_refused():
    with pytest.raises(InputError, match="intents_committed"):
        CrashPlan.from_setting("nowhere")


def test_without_a_setting_nothing_dies():
    CrashPlan.from_setting("").passes(CrashPoint.BAR_MARKED)


def _session(url: str, services: str, folder: Path, crash_at: str | None) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "TRADELOOM_CRASH_AT"}
    if crash_at:
        environment["TRADELOOM_CRASH_AT"] = crash_at
    command = [sys.executable, str(CHILD), url, services, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode


def _content(url: str) -> dict[str, list[object]]:
    with psycopg.connect(url, options="-c timezone=UTC") as conn:
        return {
            table: sorted(conn.execute(f"select ({columns})::text from trading.{table} as t").fetchall())
            for table, columns in CONTENT.items()
        }


def _create(url: str, name: str, template: str) -> None:
    with psycopg.connect(database_url_of(url, "postgres"), autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
            (template,),
        )
        conn.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def _drop(url: str, name: str) -> None:
    with psycopg.connect(database_url_of(url, "postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])

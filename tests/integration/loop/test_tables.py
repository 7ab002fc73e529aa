"""What the tables themselves refuse, whoever writes: the invariants of the ledger are constraints, not habits."""

from __future__ import annotations

import psycopg
import pytest

from trading.adapters.postgres import connection

pytestmark = pytest.mark.engines
BUY = 1


@pytest.fixture
def traded(world):
    (day,) = world.rows("select min(session_date) from trading.calendar_sessions")[0]
    world.script.actions = {("AAA", day): BUY}
    world.run()
    return world


def refused(world, *statements: str) -> str:
    """Return why a transaction of these statements is refused."""
    with pytest.raises(psycopg.Error) as error:
        _commit(world.url, statements)
    return str(error.value)


def _commit(url, statements) -> None:
    with connection(url) as conn:
        for statement in statements:
            conn.execute(statement)


POSTING = (
    "insert into trading.postings (session_id, transaction_id, line, account, currency, amount, timestamp)"
    " select session_id, 'test', {line}, '{account}', 'USD', {amount}, now() from trading.sessions"
)


def test_transaction_that_does_not_balance_is_refused_at_its_commit(traded):
    assert "does not balance" in refused(traded, POSTING.format(line=1, account="cash", amount="1"))


def test_balanced_transaction_is_taken_and_moves_the_balances(traded):
    before = traded.rows("select balance from trading.accounts where account = 'cash'")[0][0]
    with psycopg.connect(traded.url) as conn:
        conn.execute(POSTING.format(line=1, account="cash", amount="-1"))
        conn.execute(POSTING.format(line=2, account="expense:commission", amount="1"))
    assert traded.rows("select balance from trading.accounts where account = 'cash'")[0][0] == before - 1


def test_balances_are_the_sums_of_the_postings(traded):
    sums = traded.rows("select account, sum(amount) from trading.postings group by 1 order by 1")
    assert sums == traded.rows("select account, balance from trading.accounts order by 1")


def test_cash_below_zero_is_refused(traded):
    found = refused(
        traded,
        POSTING.format(line=1, account="cash", amount="-1000000"),
        POSTING.format(line=2, account="expense:commission", amount="1000000"),
    )
    assert "cash_is_never_negative" in found


def test_short_position_is_refused(traded):
    assert "long_only" in refused(traded, "update trading.positions set quantity = -1")


def test_position_that_no_fill_explains_is_refused(traded):
    assert "its fills and splits make" in refused(traded, "update trading.positions set quantity = quantity + 1")


def test_fill_without_an_order_is_refused(traded):
    copied = (
        "insert into trading.fills select (jsonb_populate_record(f, jsonb_build_object("
        "'fill_id', 'other', 'client_order_id', 'o-none'))).* from trading.fills as f"
    )
    assert "foreign key" in refused(traded, copied)


def test_second_order_of_a_decision_is_refused(traded):
    copied = (
        "insert into trading.order_intents select (jsonb_populate_record(i, jsonb_build_object("
        "'client_order_id', 'o-second'))).* from trading.order_intents as i"
    )
    assert "decision_id" in refused(traded, copied)


@pytest.mark.parametrize("sequence", ["max(sequence) + 2", "max(sequence)", "1"])
def test_event_that_does_not_continue_the_chain_is_refused(traded, sequence):
    event = (
        "insert into trading.events (session_id, sequence, kind, occurred_at, payload, previous_hash, hash)"
        f" select session_id, {sequence}, 'Test', now(), '{{}}', decode(repeat('00', 32), 'hex'),"
        " decode(repeat('00', 32), 'hex') from trading.events group by session_id"
    )
    assert "does not continue its chain" in refused(traded, event)


@pytest.mark.parametrize(
    "table",
    ["decisions", "order_intents", "orders", "fills", "postings", "portfolio_snapshots", "events", "event_anchors"],
)
@pytest.mark.parametrize("change", ["update trading.{} set session_id = session_id", "delete from trading.{}"])
def test_what_is_final_is_append_only(traded, table, change):
    assert "append-only" in refused(traded, change.format(table))


def test_terms_of_a_session_never_change(traded):
    assert "never change" in refused(traded, "update trading.sessions set starting_cash = 1")

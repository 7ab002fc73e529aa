"""What a bar does before anything is decided: splits, waiting orders, the mark."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from serving.trading_loop.opening import Market, meet
from trading.adapters.ledger import OpenOrder, SessionBooks
from trading.adapters.market_data import BarGroup, KnownSplit, SessionBar
from trading.costs import FREE
from trading.execution import execute
from trading.nouns import Bar, Instrument, OrderIntent, Position, Side, Split
from trading.portfolio import Portfolio

MONDAY, TUESDAY = datetime(2012, 3, 5, tzinfo=UTC), datetime(2012, 3, 6, tzinfo=UTC)


class Paper:
    """Fills without costs."""

    def fill_at_open(self, intent, bar, cash_usd, lot_size):
        return execute(intent, bar, cash_usd, FREE, lot_size)


def bar_of(day: datetime, opening: str, close: str) -> Bar:
    opens, closes = Decimal(opening), Decimal(close)
    return Bar(
        "AAA", day, day + timedelta(hours=14), day + timedelta(hours=21), opens, max(opens, closes), min(opens, closes),
        closes, Decimal(1000), "sample", "1d", 1, bytes(32),
    )  # fmt: skip


def meeting(books: SessionBooks, bar: Bar, *splits: KnownSplit, adjustment: str = "raw"):
    group = BarGroup(bar.timestamp, {"AAA": SessionBar(bar, adjustment, bar.known_at, None)})
    market = Market(Paper(), {"AAA": Instrument("AAA")}, splits, timedelta(0))
    return meet(books, group, market, "s-1")


def holding(quantity: str, bought_on: date = date(2012, 3, 1)) -> SessionBooks:
    position = Position("AAA", Decimal(quantity), Decimal(quantity) * 10, Decimal(0))
    portfolio = Portfolio(Decimal(1000), {"AAA": position})
    return SessionBooks(portfolio, {"AAA": Decimal(10)}, [], {"AAA": bought_on}, set())


def selling(quantity: str) -> OpenOrder:
    intent = OrderIntent("o-1", "AAA", Side.SELL, Decimal(quantity), MONDAY + timedelta(hours=21), Decimal(10))
    return OpenOrder(intent, intent.as_of, MONDAY, is_acknowledged=True)


def split(ratio: str, known_at: datetime = TUESDAY) -> KnownSplit:
    return KnownSplit(Split("AAA", date(2012, 3, 6), Decimal(ratio)), 1, known_at)


def test_split_is_applied_once():
    books, bar = holding("7"), bar_of(TUESDAY, "5", "5")
    meeting(books, bar, split("2"))
    opening, snapshot = meeting(books, bar, split("2"))
    assert books.portfolio.quantity("AAA") == 14
    assert opening.splits == []
    assert snapshot.positions_value_usd == Decimal(70)


def test_fraction_of_a_share_is_paid_out_at_the_price_before_the_open():
    books = holding("7")
    opening, _ = meeting(books, bar_of(TUESDAY, "20", "20"), split("0.5"))
    assert books.portfolio.quantity("AAA") == 3
    assert opening.splits[0].paid_usd == Decimal(10)  # half a new share at 10 / 0.5


def test_split_of_a_series_that_came_adjusted_moves_nothing():
    books = holding("7")
    meeting(books, bar_of(TUESDAY, "5", "5"), split("2"), adjustment="split")
    assert books.portfolio.quantity("AAA") == 7


def test_split_waits_until_it_is_known():
    books = holding("7")
    meeting(books, bar_of(TUESDAY, "5", "5"), split("2", known_at=TUESDAY + timedelta(days=2)))
    assert books.portfolio.quantity("AAA") == 7
    meeting(books, bar_of(TUESDAY + timedelta(days=2), "5", "5"), split("2", known_at=TUESDAY + timedelta(days=2)))
    assert books.portfolio.quantity("AAA") == 14


def test_split_of_shares_bought_after_it_moves_nothing():
    books = holding("7", bought_on=date(2012, 3, 6))
    meeting(books, bar_of(TUESDAY + timedelta(days=1), "5", "5"), split("2"))
    assert books.portfolio.quantity("AAA") == 7


def test_order_of_which_a_split_leaves_less_than_one_lot_ends_without_a_fill():
    books = holding("4")
    books.open_orders.append(selling("4"))
    opening, _ = meeting(books, bar_of(TUESDAY, "100", "100"), split("0.1"))
    assert [(name, str(refusal.reason)) for name, refusal in opening.cancellations] == [("o-1", "SHORT_NOT_ALLOWED")]
    assert opening.fills == []
    assert books.open_orders == []


def test_order_that_the_broker_has_not_taken_does_not_fill():
    books = holding("4")
    waiting = selling("4")
    books.open_orders.append(OpenOrder(waiting.intent, waiting.eligible_at, MONDAY, is_acknowledged=False))
    opening, _ = meeting(books, bar_of(TUESDAY, "10", "10"))
    assert opening.fills == []
    assert len(books.open_orders) == 1

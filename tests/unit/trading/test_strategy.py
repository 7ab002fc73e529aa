from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from trading.errors import InputError, ModelError
from trading.nouns import Action, Decision, Position, Side
from trading.risk import DenialReason, Denied, OrderProposal
from trading.strategy import BuyAndHold, MacdCross, NothingToDo, checked_vectors, state_vector, target_order

AS_OF = datetime(2020, 1, 2, 21, tzinfo=UTC)


def state(macd: float, position: float, close: float = 100.0) -> list[float]:
    return [close, 50.0, macd, 1e6, position, 0.0]


@pytest.mark.parametrize(
    ("macd", "position", "action"),
    [
        (1.0, 0.0, Action.BUY),
        (1.0, 1.0, Action.HOLD),
        (-1.0, 1.0, Action.SELL),
        (-1.0, 0.0, Action.HOLD),
        (0.0, 0.0, Action.HOLD),
        (0.0, 1.0, Action.HOLD),
    ],
)
def test_macd_cross_buys_above_zero_when_flat_and_sells_below_when_long(macd, position, action):
    assert MacdCross().decide(np.array([state(macd, position)]))[0].action is action


def test_confidence_of_macd_cross_by_hand():
    decisions = MacdCross().decide(np.array([state(1.0, 0.0), state(3.0, 0.0), state(0.0, 0.0), [0, 0, 0, 0, 0, 0]]))
    assert [one.confidence for one in decisions] == [0.75, 0.875, 0.5, 0.5]


def test_rules_answer_each_row_alone_as_in_a_batch():
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.uniform(1, 900, 300), rng.uniform(0, 100, 300), rng.normal(0, 5, 300)])
    rows = np.column_stack([rows, rng.uniform(0, 1e9, 300), rng.integers(-1, 2, 300), rng.uniform(-1, 1, 300)])
    for model in (MacdCross(), BuyAndHold()):
        together = model.decide(rows)
        assert [model.decide(row.reshape(1, 6))[0] for row in rows] == together


def test_buy_and_hold_buys_once():
    assert BuyAndHold().decide(np.array([state(0, 0), state(0, 1)])) == [
        Decision(Action.BUY, 1.0),
        Decision(Action.HOLD, 1.0),
    ]


@pytest.mark.parametrize("model", [MacdCross(), MacdCross(scale=0.02), BuyAndHold()])
def test_rules_survive_their_bytes(model):
    again = type(model).from_bytes(model.to_bytes())
    assert again == model
    assert again.sha256 == model.sha256


def test_bytes_of_another_kind_are_refused():
    with pytest.raises(ModelError, match="macd_cross"):
        MacdCross.from_bytes(BuyAndHold().to_bytes())
    with pytest.raises(ModelError, match="macd_cross"):
        MacdCross.from_bytes(b"nonsense")


def test_state_vector_puts_position_before_sentiment():
    assert state_vector([10.0, 55.0, 0.5, 1e6, -0.25], 1).tolist() == [10.0, 55.0, 0.5, 1e6, 1.0, -0.25]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0] * 5], "6 numbers"),
        ([[1.0, 2.0, float("nan"), 4.0, 0.0, 0.0]], "nan for macd"),
        ([[1.0, 2.0, 3.0, 4.0, 0.5, 0.0]], "position"),
    ],
)
def test_states_no_model_should_answer_for_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        checked_vectors(np.array(rows))


def order(action: Action, quantity: int = 0, equity: str = "10000", price: str = "33", symbols: int = 3):
    position = Position("AAA", Decimal(quantity), Decimal(0))
    return target_order(
        action, position, price_usd=Decimal(price), equity_usd=Decimal(equity), symbols=symbols, as_of=AS_OF
    )


def test_buy_goes_to_an_equal_weight_in_whole_shares_at_the_decision_price():
    assert order(Action.BUY) == OrderProposal("AAA", Side.BUY, Decimal(101), Decimal(33), AS_OF)


def test_sell_goes_flat():
    assert order(Action.SELL, quantity=7) == OrderProposal("AAA", Side.SELL, Decimal(7), Decimal(33), AS_OF)


def test_hold_buy_when_long_and_sell_when_flat_do_nothing():
    assert order(Action.HOLD) == NothingToDo("hold")
    assert order(Action.BUY, quantity=1) == NothingToDo("buy_when_long")
    assert order(Action.SELL) == NothingToDo("sell_when_flat")


def test_target_below_one_share_is_insufficient_cash():
    outcome = order(Action.BUY, price="3334")
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.INSUFFICIENT_CASH

"""Risk rules: what stops an order before it is committed. A refusal is a value with a reason code, not an error.

Each rule is one class with one `validate`, as in zipline's `controls.py`; `check` asks them in order and returns the
first refusal. Orders that only reduce a position pass the size rules: a limit must never lock a position in.

| code                    | refused because                                                                    |
|-------------------------|------------------------------------------------------------------------------------|
| SESSION_HALTED          | the kill switch is HALTED: nothing goes out                                        |
| SESSION_REDUCING        | the kill switch is REDUCING: only orders that reduce a position go out             |
| STALE_FEATURES          | there is no feature row, or it is older than its definition or the limits allow    |
| DATA_RECALLED           | a bar that the features rest on was recalled and has no correction yet             |
| SENTIMENT_MISMATCH      | the analyst's score is not the one in the feature row                              |
| SHORT_NOT_ALLOWED       | more would be sold than is held                                                    |
| NOTIONAL_EXCEEDS_LIMIT  | the order is worth more than one order may be                                      |
| POSITION_LIMIT_EXCEEDED | more shares would be held than allowed                                             |
| CONCENTRATION_EXCEEDED  | the position would be a greater part of equity than allowed                        |
| INSUFFICIENT_CASH       | the cash there is (less what this bar's earlier orders will take) is not enough    |
"""

from trading.risk.limits import (
    DenialReason,
    Denied,
    FeatureFacts,
    OrderProposal,
    RiskContext,
    RiskLimits,
    TradingState,
    denied,
)
from trading.risk.rules import RULES, RiskRule, check

__all__ = [
    "RULES",
    "DenialReason",
    "Denied",
    "FeatureFacts",
    "OrderProposal",
    "RiskContext",
    "RiskLimits",
    "RiskRule",
    "TradingState",
    "check",
    "denied",
]

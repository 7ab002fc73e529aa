"""What the oracle is asked and what it answers, as JSON. Anything else than these forms is a 400 with the reason."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, field_validator

from serving.texts import Name

STATE_WITHOUT_SENTIMENT = 5
STATE_WITH_SENTIMENT = 6
POSITION = 4


def _version_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Version = Annotated[str, BeforeValidator(_version_text), Field(pattern=r"^[1-9][0-9]*$")]


class _Asked(BaseModel):
    """A question: JSON numbers are numbers, not texts of numbers, and an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model_version: Version | None = Field(None, description="A pinned version; the alias's when left out.")
    alias: str | None = Field(None, min_length=1, description="Another alias than the service follows.")


class PredictRequest(_Asked):
    """One state: close, rsi, macd, volume, position, and sentiment (0 if left out), in raw units."""

    state: list[FiniteFloat] = Field(min_length=STATE_WITHOUT_SENTIMENT, max_length=STATE_WITH_SENTIMENT)

    @field_validator("state")
    @classmethod
    def _position_is_a_sign(cls, state: list[float]) -> list[float]:
        if state[POSITION] not in (-1.0, 0.0, 1.0):
            raise ValueError(f"expected a position of -1, 0 or 1 as the fifth number, found {state[POSITION]}")
        return state


class Prediction(BaseModel):
    """HOLD 0, BUY 1, SELL 2, and the model's own probability of it."""

    action: int
    confidence: float


class DecideItem(BaseModel):
    """One symbol to decide on, as known at (as_of, watermark); the newest knowledge when left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    symbol: Name
    position: Literal[-1, 0, 1]
    as_of: AwareDatetime | None = None
    watermark: int | None = Field(None, ge=0)
    source: Name | None = None


class DecideRequest(_Asked):
    """Symbols to decide on with one model."""

    requests: list[DecideItem] = Field(min_length=1, max_length=1000)
    kept_by_caller: bool = Field(False, description="A session keeps the answers as its decisions; no second record.")


class ServedModel(BaseModel):
    """Which model answered."""

    name: str
    version: str
    weights_sha256: str
    snapshot_id: str | None


class SymbolDecision(BaseModel):
    """One decision and what it was made from; without a usable feature row only `reason` says why there is none."""

    symbol: str
    action: int | None
    confidence: float | None
    vector: list[float] | None
    feature_row: dict[str, Any] | None
    reason: str | None
    model: ServedModel
    environment: dict[str, Any]


class Decisions(BaseModel):
    """One decision per request, in their order."""

    decisions: list[SymbolDecision]

"""What the analyst is asked and what it answers, as JSON. Anything else than these forms is a 400 with the reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    model_validator,
)

from serving.texts import Name, without_zero
from trading.sentiment.scorers import Label


def _version_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected some text, found none")
    return text


Text = Annotated[str, Field(max_length=20_000), AfterValidator(_not_blank)]
Query = Annotated[str, Field(max_length=20_000), AfterValidator(without_zero)]


class SentimentRequest(BaseModel):
    """A symbol, and what to look at: the news of some hours, or exactly what the daily feature looks at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    symbol: Name
    query: Query | None = Field(None, description="Left out: the newest items.")
    as_of: AwareDatetime | None = Field(None, description="What was known then; now when left out.")
    watermark: int | None = Field(None, ge=0, description="What was ingested by then; the newest when left out.")
    window_hours: PositiveFloat = Field(24, le=24 * 366 * 10)
    k: int = Field(3, ge=1, le=100)
    window_sessions: Literal[5] | None = Field(None, description="5: the daily feature's own value, to the bit.")
    decision_at: AwareDatetime | None = Field(
        None, description="With window_sessions: the feature row's decision time; the latest row's when left out."
    )
    source: Name | None = Field(None, description="With window_sessions: whose feature row is meant.")
    scorer: Name | None = Field(None, description="`head` or `llm:<model>`; the service's own if left out.")
    scorer_version: Annotated[str, BeforeValidator(_version_text), Field(min_length=1)] | None = None
    kept_by_caller: bool = Field(False, description="A session keeps the answer with its decision; no second record.")

    @model_validator(mode="after")
    def _the_daily_window_takes_no_query(self) -> SentimentRequest:
        if self.window_sessions is not None and self.query and self.query.strip():
            raise ValueError("window_sessions gives the daily feature's value, which has no query; use window_hours")
        return self


class UsedItem(BaseModel):
    """One news item that went into a score."""

    item_id: int
    news_id: str
    headline: str
    url: str
    published_at: datetime
    score: float


class Sentiment(BaseModel):
    """A score in [-1, 1], 0 of no items, and what made it."""

    score: float
    items: list[UsedItem]
    scorer: str
    scorer_version: str
    as_of: datetime
    watermark: int


class ScoreRequest(BaseModel):
    """Texts to be scored, each by itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[Text] = Field(min_length=1, max_length=1000)
    scorer_version: Annotated[str, BeforeValidator(_version_text), Field(min_length=1)] | None = None


class Scores(BaseModel):
    """One score in [-1, 1] and one label per text, in order."""

    scores: list[float]
    labels: list[Label]
    scorer: str
    scorer_version: str

"""`tradeloom features`: feature rows as they were known at a time."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from trading.errors import InputError, NaiveTimeError

if TYPE_CHECKING:
    from feature_store.rows import FeatureRow


@click.command()
@click.option("--symbols", required=True, help="Comma-separated, such as AAPL,MSFT.")
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=int, help="Only what was published up to this number. Default: everything.")
@click.option("--source", help="Whose prices. Default: the source of best precedence that has the symbol.")
@click.option("--history", is_flag=True, help="Every bar known then, not only each symbol's newest.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def features(
    symbols: str, as_of: str | None, watermark: int | None, source: str | None, history: bool, as_json: bool
) -> None:
    """Show the features of SYMBOLS as they were known at a time."""
    from feature_store import FeatureStore
    from infra.local.endpoints import Endpoints

    moment = _moment(as_of) if as_of else datetime.now(UTC)
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise InputError(f"expected symbols such as AAPL,MSFT, found {symbols!r}")
    store = FeatureStore(Endpoints.resolve(os.environ).postgres_url)
    rows = (
        _history(store, names, moment, watermark, source)
        if history
        else _latest(store, names, moment, watermark, source)
    )
    store.close()
    if as_json:
        click.echo(json.dumps({"as_of": moment.isoformat(), "rows": rows}))
    else:
        _print(rows, moment)


def _latest(
    store: Any, names: list[str], moment: datetime, watermark: int | None, source: str | None
) -> list[dict[str, Any]]:
    found = store.latest(store.newest_service("features"), names, moment, watermark, source)
    return [_flat(row) for row in found]


def _history(
    store: Any, names: list[str], moment: datetime, watermark: int | None, source: str | None
) -> list[dict[str, Any]]:
    frame = store.features(store.newest_service("features"), names, moment, watermark, source)
    return [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _flat(row: FeatureRow) -> dict[str, Any]:
    identity = {
        "symbol": row.symbol,
        "timestamp": row.timestamp.isoformat(),
        "known_at": row.known_at.isoformat(),
        "decision_at": row.decision_at.isoformat(),
        "source": row.source,
        "interval": row.interval,
        "watermark": row.watermark,
        "definition": row.definition,
        "row_id": row.row_id,
        "row_hash": row.row_hash,
    }
    return identity | row.values | {"sentiment_items": row.sentiment_items}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if value != value else value


def _print(rows: list[dict[str, Any]], moment: datetime) -> None:
    if not rows:
        click.echo(f"no features were known at {moment.isoformat()}")
    for row in rows:
        numbers = ", ".join(
            f"{name} {row[name]:.6g}" for name in ("close", "rsi_14", "macd", "sentiment") if row[name] is not None
        )
        click.echo(f"{row['symbol']:8} {row['timestamp'][:10]}  known {row['known_at']}  {numbers}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected a time such as 2012-06-01T20:15:00Z, found {text!r}") from error
    if moment.tzinfo is None:
        zoned = f"{text}T00:00:00Z" if len(text) == len("2012-06-01") else f"{text}Z"
        raise NaiveTimeError(f"expected a time with its zone, found {text!r}; add one, such as {zoned}")
    return moment

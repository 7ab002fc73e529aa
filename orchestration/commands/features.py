"""`tradeloom features`: feature rows as they were known at a time; and the door to the commands about features."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration.asked_times import NUMBER, moment_of
from orchestration.doors import Door, Doors
from trading.errors import InputError

if TYPE_CHECKING:
    from feature_store import FeatureStore
    from feature_store.rows import FeatureRow
    from feature_store.services import FeatureService


_WHOLE_DAYS = ("1d", "1w", "1mo")
REGISTRY = "orchestration.commands.feature_registry"
SUBCOMMANDS = {
    "list": Door(REGISTRY, "list_features", "Features, views and services: what there is, and how fresh it is."),
    "show": Door(REGISTRY, "show", "One feature, view, service or definition: SQL, parameters, who refers to it."),
    "diff": Door(REGISTRY, "diff", "What differs between two definitions."),
    "build": Door("orchestration.commands.feature_build", "build", "Make the views anew after their SQL was changed."),
    "docs": Door("orchestration.commands.feature_docs", "docs", "The page of the features, from the registry."),
    "retire": Door(REGISTRY, "retire", "Stop keeping up a definition that nothing refers to."),
    "bars": Door("orchestration.commands.bars", "bars", "Bars as known at a time, adjusted."),
    "export": Door(
        "orchestration.commands.feature_export", "export", "Rows as of a time as Parquet in the object store."
    ),
    "compact": Door("orchestration.commands.compact", "compact", "Drop superseded versions that nothing refers to."),
}


@click.group(cls=Doors, doors=SUBCOMMANDS, invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@click.option("--symbols", help="Comma-separated, such as AAPL,MSFT.  [required without a command]")
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: everything.")
@click.option("--source", help="Whose prices. Default: the source of best precedence that has the symbol.")
@click.option(
    "--interval",
    default="1d",
    show_default=True,
    help="Of bars of another interval, such as 5m: their rows in marts.indicators, all columns.",
)
@click.option("--history", is_flag=True, help="Every bar known then, not only each symbol's newest.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_context
def features(
    ctx: click.Context,
    symbols: str | None,
    as_of: str | None,
    watermark: int | None,
    source: str | None,
    interval: str,
    history: bool,
    as_json: bool,
) -> None:
    """Show the features of SYMBOLS as they were known at a time; the commands below show what features there are."""
    if ctx.invoked_subcommand is not None:
        _refuse_options_before(ctx.invoked_subcommand, ctx.params | {"interval": interval != "1d"})
    elif symbols is None:
        raise click.MissingParameter(ctx=ctx, param_type="option", param_hint="'--symbols'")
    else:
        _rows(symbols, as_of, watermark, source, interval, history, as_json)


def _refuse_options_before(command: str, given: Mapping[str, Any]) -> None:
    named = [
        f"--{name.removeprefix('as_') if name == 'as_json' else name.replace('_', '-')}"
        for name in given
        if given[name]
    ]
    if named:
        raise click.UsageError(f"expected the options of `features {command}` after its name, found {', '.join(named)}")


def _rows(
    symbols: str,
    as_of: str | None,
    watermark: int | None,
    source: str | None,
    interval: str,
    history: bool,
    as_json: bool,
) -> None:
    from feature_store import FeatureStore
    from infra.local.endpoints import Endpoints
    from trading.adapters.known_names import refuse_unknown_interval, refuse_unknown_source
    from trading.adapters.postgres import connection

    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise InputError(f"expected symbols such as AAPL,MSFT, found {symbols!r}")
    url = Endpoints.resolve(os.environ).read_url
    if source is not None:
        with connection(url) as conn:
            refuse_unknown_source(conn, source)
    with closing(FeatureStore(url)) as store:
        up_to = store.newest_watermark() if watermark is None else watermark
        by_replica = store.reads_replica()
        rows = (_history if history else _latest)(
            store, _service(store, url, interval), names, moment, up_to, source, interval
        )
    if not rows:
        with connection(url) as conn:
            refuse_unknown_interval(conn, interval, names)
    there = {row["symbol"] for row in rows}
    without = [name for name in dict.fromkeys(names) if name not in there]
    if as_json:
        click.echo(json.dumps({"as_of": moment.isoformat(), "watermark": up_to, "rows": rows, "without_rows": without}))
    else:
        _print(rows)
        if by_replica:
            click.echo(f"answered by a replica, as of watermark {up_to}")
        if without:
            click.echo(f"no features of {', '.join(without)} were known at {moment.isoformat()}")


def _service(store: FeatureStore, url: str, interval: str) -> FeatureService:
    """Of days what our models read of them; of another interval there is no row of a day, so the indicators."""
    from feature_store.definitions import active, definition
    from feature_store.views import INDICATORS

    if interval == "1d":
        return store.newest_service("features")
    return store.newest_service("features", definition(url, active(url, INDICATORS)).columns, INDICATORS)


def _latest(
    store: FeatureStore,
    service: FeatureService,
    names: list[str],
    moment: datetime,
    watermark: int,
    source: str | None,
    interval: str,
) -> list[dict[str, Any]]:
    return [_flat(row) for row in store.latest(service, names, moment, watermark, source, interval)]


def _history(
    store: FeatureStore,
    service: FeatureService,
    names: list[str],
    moment: datetime,
    watermark: int,
    source: str | None,
    interval: str,
) -> list[dict[str, Any]]:
    frame = store.features(service, names, moment, watermark, source, interval)
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


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
        "age_sessions": row.age_sessions,
        "max_age_sessions": row.max_age_sessions,
        "is_stale": row.is_stale,
    }
    return identity | row.values | {"sentiment_items": row.sentiment_items}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if value != value else value


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        numbers = ", ".join(
            f"{name} {row[name]:.6g}" for name in ("close", "rsi_14", "macd", "sentiment") if row.get(name) is not None
        )
        when = row["timestamp"][: 10 if row["interval"] in _WHOLE_DAYS else 16]
        click.echo(f"{row['symbol']:8} {when}  known {row['known_at']}  {numbers}{_age(row)}")


def _age(row: dict[str, Any]) -> str:
    """A history has no age: each of its rows was once the newest."""
    if "age_sessions" not in row:
        return ""
    if row["age_sessions"] is None:
        return "  age unknown: no calendar"
    count = row["age_sessions"]
    limit = f", stale: at most {row['max_age_sessions']}" if row["is_stale"] else ""
    return f"  {count} session{'' if count == 1 else 's'} old{limit}"

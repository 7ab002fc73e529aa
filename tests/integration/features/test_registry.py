"""The registry of features: services by version, freshness by session, who refers to a definition, what is retired."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from feature_store import definitions, references, services
from feature_store.comparison import compare, compare_values
from feature_store.freshness import freshness
from feature_store.registry import registered_definition
from feature_store.registry import services as registered_services
from orchestration.commands import feature_registry
from orchestration.commands.features import features
from trading.adapters.postgres import connection
from trading.adapters.promotions import Promotion, record_promotion
from trading.errors import InputError
from trading.learners.model_card import ModelCard

pytestmark = pytest.mark.engines

# A week with Martin Luther King Day: the exchange is shut on Monday the 20th.
THURSDAY, FRIDAY, TUESDAY = date(2020, 1, 16), date(2020, 1, 17), date(2020, 1, 21)


@dataclass(frozen=True)
class Version:
    version: str
    aliases: tuple[str, ...]


class Models:
    """A registry of models by hand: (name, version) -> (aliases, definition read)."""

    def __init__(self, **of: dict[str, tuple[tuple[str, ...], str]]) -> None:
        self.of = {name.replace("_", "-"): versions for name, versions in of.items()}

    def names(self) -> list[str]:
        return list(self.of)

    def versions(self, name: str) -> list[Version]:
        return [Version(version, aliases) for version, (aliases, _) in self.of[name].items()]

    def card(self, name: str, version: str) -> ModelCard:
        service = {"definition": self.of[name][version][1]} if self.of[name][version][1] else {}
        return ModelCard(kind="k", weights_sha256="0", feature_service=service)


NOBODY = Models()


def changed(w: Any, number: int) -> str:
    """Build the daily view with another constant in it; return the new definition."""
    text = definitions.definition(w.url, w.active("features.daily")).sql
    return definitions.register(w.url, "features.daily", f"-- change {number}\n{text}", {"number": number})


def bars(w: Any, symbol: str, days: list[date]) -> list[Any]:
    return [w.Bar(symbol, day, *(Decimal(100 + day.day),) * 4, 10) for day in days]


def status(w: Any, definition: str) -> str:
    return str(w.one("select status from features.definition_status where definition = %s", definition))


def test_the_same_service_again_is_the_same_version_and_another_input_a_new_one(warehouse: Any) -> None:
    w = warehouse
    mine = services.newest_service(w.url, "mine")
    assert services.register(w.url, mine) == 1
    watermarks = w.one("select count(*) from raw.watermarks")
    assert services.register(w.url, mine) == 1
    assert w.one("select count(*) from raw.watermarks") == watermarks
    narrower = replace(mine, columns=("close", "macd"))
    assert services.register(w.url, narrower) == 2
    assert services.register(w.url, replace(mine, name="other")) == 1
    assert services.register(w.url, mine) == 1  # going back is no third version
    with connection(w.url) as conn:
        stands = [(one.name, one.version, one.columns, one.status) for one in registered_services(conn)]
    assert stands == [("mine", 1, mine.columns, "in use"), ("other", 1, mine.columns, "in use")]


def test_a_service_on_columns_that_are_not_there_is_refused(warehouse: Any) -> None:
    wrong = replace(services.newest_service(warehouse.url, "mine"), columns=("close", "moon_phase"))
    with pytest.raises(InputError, match="without moon_phase"):
        services.register(warehouse.url, wrong)


def test_age_counts_closed_sessions_and_the_stalest_series_is_named(warehouse: Any) -> None:
    w = warehouse
    for symbol in ("AAPL", "MSFT"):
        w.publish("sample", bars(w, symbol, [THURSDAY, FRIDAY] if symbol == "AAPL" else [THURSDAY]))
    w.advance()
    daily = w.active("features.daily")

    def told(as_of: datetime) -> Any:
        with connection(w.url) as conn:
            return freshness(conn, "features.daily", daily, ["close", "return_1d", "sma_50"], as_of)

    before_the_close, after_it = datetime(2020, 1, 21, 20, tzinfo=UTC), datetime(2020, 1, 21, 21, tzinfo=UTC)
    close = told(before_the_close)["close"]
    assert (close.newest_timestamp, close.age_sessions) == (datetime(2020, 1, 17, tzinfo=UTC), 0)  # Monday was none
    assert (close.stalest_symbol, close.stalest_age_sessions, close.rows, close.null_share) == ("MSFT", 1, 3, 0.0)
    assert (told(after_it)["close"].age_sessions, told(after_it)["close"].stalest_age_sessions) == (1, 2)
    assert close.is_older_than(0)
    assert not close.is_older_than(1)
    assert not close.is_older_than(None)
    step = told(before_the_close)["return_1d"]
    assert (step.stalest_symbol, step.null_share) == ("AAPL", 2 / 3)  # MSFT never had a value
    never = told(before_the_close)["sma_50"]
    assert (never.age_sessions, never.null_share, never.newest_known_at) == (None, 1.0, None)
    assert told(datetime(2020, 1, 1, tzinfo=UTC))["close"].null_share is None


def test_what_nobody_refers_to_is_retired_and_each_referrer_keeps_its_own(warehouse: Any) -> None:
    w = warehouse
    model, rollback, service, session, nobody = (w.active("features.daily"), *(changed(w, n) for n in range(1, 5)))
    newest = changed(w, 5)
    services.register(w.url, services.service_of(definitions.definition(w.url, service), "mine"))
    open_session(w, session)
    with connection(w.url) as conn:
        for before, after in ((None, "1"), ("1", "2")):
            record_promotion(conn, Promotion("trader-daily", "champion", before, after, "promoted", "r"))
    models = Models(
        trader_daily={"1": ((), rollback), "2": (("champion",), model), "3": ((), nobody)},
        sentiment_head={"1": (("champion",), "")},
    )
    watermarks = w.one("select count(*) from raw.watermarks")
    assert references.tend(w.url, models) == references.Tended([nobody], [])
    kept = (model, rollback, service, session, newest, w.active("marts.indicators"))
    assert [status(w, one) for one in kept] == ["active"] * 6
    assert references.tend(w.url, models) == references.Tended()
    assert w.one("select count(*) from raw.watermarks") == watermarks + 1  # a look that changes nothing leaves nothing


def test_a_definition_that_something_refers_to_is_not_retired_and_the_refusal_names_it(warehouse: Any) -> None:
    w = warehouse
    old = w.active("features.daily")
    services.register(w.url, services.newest_service(w.url, "mine"))
    models = Models(trader_daily={"7": (("challenger",), old)})
    newest = changed(w, 1)
    refused = references.retire_definition(w.url, old, models)
    assert refused == references.StillReferred(
        old,
        (
            references.Reference("service", "mine version 1"),
            references.Reference("model", "trader-daily version 7 (challenger)"),
        ),
    )
    assert references.retire_definition(w.url, newest, NOBODY).references[0].kind == "newest definition"  # type: ignore[union-attr]
    services.retire(w.url, "mine")
    assert references.retire_definition(w.url, old, NOBODY) is None
    with pytest.raises(InputError, match="which is retired"):
        references.retire_definition(w.url, old, NOBODY)
    with pytest.raises(InputError, match="expected a service in use, found mine"):
        services.retire(w.url, "mine")


def test_indicators_are_kept_up_for_a_daily_definition_that_is(warehouse: Any) -> None:
    w = warehouse
    indicators, daily = w.active("marts.indicators"), w.active("features.daily")
    text = definitions.definition(w.url, indicators).sql
    definitions.register(w.url, "marts.indicators", f"-- another\n{text}", {"context_bars": 50})
    with connection(w.url) as conn:
        assert references.references_to(conn, indicators, []) == (references.Reference("definition", daily),)
    changed(w, 1)  # a newer daily one reads the newer indicators
    assert references.tend(w.url, NOBODY).retired == [daily, indicators]


def test_a_definition_taken_up_again_has_the_rows_it_missed_and_is_not_the_newest(warehouse: Any) -> None:
    w = warehouse
    old = w.active("features.daily")
    w.publish("sample", bars(w, "AAPL", [THURSDAY]))
    w.advance()
    newest = changed(w, 1)
    assert references.tend(w.url, NOBODY).retired == [old]
    w.publish("sample", bars(w, "AAPL", [FRIDAY]))
    w.advance()
    of_old = "select array_agg(timestamp::date order by timestamp) from features.daily where definition = %s"
    assert w.one(of_old, old) == [THURSDAY]
    assert references.tend(w.url, Models(trader_daily={"1": (("champion",), old)})).taken_up == [old]
    assert w.one(of_old, old) == [THURSDAY, FRIDAY]
    assert w.active("features.daily") == newest


def test_indicators_taken_up_again_are_what_a_rebuild_gives(warehouse: Any) -> None:
    w = warehouse
    days = [day for n in range(60) if (day := date(2020, 1, 2) + timedelta(days=n)).weekday() < 5]
    indicators, daily = w.active("marts.indicators"), w.active("features.daily")
    w.publish("sample", bars(w, "AAPL", days[:35]))
    w.advance()
    w.publish("sample", bars(w, "AAPL", days[35:36]))
    w.advance()
    text = definitions.definition(w.url, indicators).sql
    definitions.register(w.url, "marts.indicators", f"-- another\n{text}", {"context_bars": 50})
    changed(w, 1)
    assert references.tend(w.url, NOBODY).retired == [daily, indicators]
    for place in (36, 37):
        w.publish("sample", bars(w, "AAPL", days[place : place + 1]))
        w.advance()
    assert references.tend(w.url, Models(trader_daily={"1": (("champion",), daily)})).taken_up == [daily, indicators]
    w.publish("sample", bars(w, "AAPL", days[38:40]))
    w.advance()
    service = services.service_of(definitions.definition(w.url, daily), "t")
    for day in days[35:40]:
        row = w.store.row(service, "AAPL", datetime(day.year, day.month, day.day, 23, tzinfo=UTC))
        assert row.timestamp.date() == day
        where = (row.source, row.symbol, row.interval, row.timestamp, row.known_at, row.watermark)
        assert w.store.recompute(daily, *where).row_hash == row.row_hash


def test_two_definitions_are_compared_in_words_and_in_values(warehouse: Any) -> None:
    w = warehouse
    w.publish("sample", bars(w, "AAPL", [THURSDAY, FRIDAY]))
    w.advance()
    one = w.active("features.daily")
    text = definitions.definition(w.url, one).sql.replace("        volume,", "        volume + 1.0 as volume,", 1)
    other = definitions.register(w.url, "features.daily", text, {"scorer": "head"})
    w.advance()
    with connection(w.url) as conn:
        pair = registered_definition(conn, one[:8]), registered_definition(conn, other[:8].upper())
        told, values = compare(*pair), compare_values(conn, *pair)
        with pytest.raises(InputError, match="expected two definitions of one view"):
            compare(pair[0], registered_definition(conn, w.active("marts.indicators")))
    assert (told.columns_added, told.columns_removed) == ([], [])
    assert told.parameters["scorer"] == ("none", "head")
    assert "+        volume + 1.0 as volume," in told.sql
    assert {found.column: (found.rows, found.differing, found.largest) for found in values if found.differing} == {
        "volume": (2, 2, 1.0)
    }


def test_the_commands_answer_by_name_and_refuse_in_one_line(warehouse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = warehouse
    old = w.active("features.daily")
    services.register(w.url, services.newest_service(w.url, "mine"))
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", w.url)
    monkeypatch.setenv("TRADELOOM_MLFLOW_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(feature_registry, "_models", lambda endpoints: Models(trader_daily={"1": (("champion",), old)}))

    def ask(*arguments: str, code: int = 0) -> Any:
        told = CliRunner().invoke(features, [*arguments, "--json"], catch_exceptions=False)
        assert told.exit_code == code
        return json.loads(told.output)

    shown = {name: ask("show", name) for name in ("rsi_14", "features.daily", "mine", old[:12])}
    assert {name: answer["kind"] for name, answer in shown.items()} == {
        "rsi_14": "feature", "features.daily": "view", "mine": "service", old[:12]: "definition",
    }  # fmt: skip
    assert [one["view"] for one in shown["rsi_14"]["features"]] == ["features.daily", "marts.indicators"]
    assert "state[" in shown["rsi_14"]["features"][0]["expression"]["sql"]  # told by the indicators that it comes from
    named = [one["name"] for one in shown["mine"]["references"]]
    assert named == ["features.daily", "mine version 1", "trader-daily version 1 (champion)"]

    newest = changed(w, 1)
    listed = ask("list")
    (daily, _) = listed["views"]
    assert (daily["definition"], daily["definitions"], daily["kept_up"]) == (newest, 2, 2)
    assert {one["since"] for one in listed["features"] if one["view"] == "features.daily"} == {old}
    assert ask("diff", old[:8], newest[:8], "--values")["parameters"]["number"] == [None, 1]
    assert ask("retire", old[:12], code=1)["references"][-1]["name"] == "trader-daily version 1 (champion)"
    assert ask("retire", "mine") == {"service": "mine", "retired": True}
    for wrong in ("moon", "abcde", "ffffffffff"):
        with pytest.raises(InputError, match="expected a feature, a view, a service or six digits"):
            CliRunner().invoke(features, ["show", wrong], catch_exceptions=False)
    for arguments in (["list"], ["show", "close"], ["diff", old[:8], newest[:8], "--values"]):
        assert "features.daily" in CliRunner().invoke(features, arguments, catch_exceptions=False).output


def open_session(w: Any, definition: str) -> None:
    w.conn.execute(
        "insert into trading.sessions (session_id, name, mode, source, interval, symbols, model_name, model_version,"
        " weights_sha256, feature_service, currency, starting_cash, costs, risk, latency, first_timestamp,"
        " last_timestamp, watermark, created_at, trace_id) values ('s', 's', 'paper', 'sample', '1d', '{AAPL}', 'm', '1',"
        " '0', jsonb_build_object('definition', %s::text), 'USD', 1, '{}', '{}', '0', now(), now(), 0, now(), 't')",
        (definition,),
    )

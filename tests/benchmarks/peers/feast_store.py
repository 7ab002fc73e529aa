"""Feast with its PostgreSQL offline and online stores, on tables of its own: `feast_rows` (all versions) and what it makes.

Arguments: the URL, the feature columns with commas between. Its registry is a file in the working folder.
"""

import os
import sys
from datetime import timedelta

os.environ["FEAST_USAGE"] = "False"
from urllib.parse import parse_qs, unquote, urlsplit

import pandas
import psycopg
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64
from feast.value_type import ValueType
from speaking import serve

URL, COLUMNS = sys.argv[1:3]
FEATURES = COLUMNS.split(",")
parts = urlsplit(URL)
server = {
    "type": "postgres",
    "host": parse_qs(parts.query)["host"][0],
    "port": 5432,
    "database": parts.path.lstrip("/"),
    "user": parts.username,
    "password": unquote(parts.password),
}


def tables():
    """The same versions as ours; Feast's event time is when a version was known."""
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("drop table if exists public.feast_rows")
        conn.execute(
            f"create table public.feast_rows as select symbol, known_at as event_timestamp,"
            f" timestamp '2024-01-01' + interval '1 second' * watermark as created, {COLUMNS} from features.daily"
        )
        conn.execute("create index on public.feast_rows (symbol, event_timestamp desc, created desc)")
        conn.execute("vacuum analyze public.feast_rows")


def opened():
    config = RepoConfig(
        project="bench",
        registry=os.path.abspath("feast_registry.db"),
        provider="local",
        offline_store={**server, "db_schema": "public"},
        online_store={**server, "db_schema": "public"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    symbol = Entity(name="symbol", join_keys=["symbol"], value_type=ValueType.STRING)
    source = PostgreSQLSource(
        name="rows", table="public.feast_rows", timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    view = FeatureView(
        name="daily",
        entities=[symbol],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float64) for name in FEATURES],
        source=source,
        online=True,
    )
    store.apply([symbol, source, view])
    return store


tables()
store = opened()
NAMES = [f"daily:{name}" for name in FEATURES]


def fill_online():
    with psycopg.connect(URL) as conn:
        found = conn.execute(
            "select distinct on (symbol) symbol, event_timestamp, created, "
            + COLUMNS
            + " from public.feast_rows order by symbol, event_timestamp desc, created desc"
        ).fetchall()
    frame = pandas.DataFrame(found, columns=["symbol", "event_timestamp", "created", *FEATURES])
    store.write_to_online_store("daily", frame)
    return {"rows": len(frame)}


def historical(questions):
    asked = pandas.read_parquet(questions).rename(columns={"as_of": "event_timestamp"})
    store.get_historical_features(entity_df=asked, features=NAMES).to_df()


def online(symbols):
    store.get_online_features(features=NAMES, entity_rows=[{"symbol": symbol} for symbol in symbols]).to_dict()


serve({"fill_online": fill_online, "historical": historical, "online": online})

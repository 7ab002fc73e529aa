"""DuckDB's ASOF JOIN over a Parquet file of row versions: newest version, watermark and late revisions included.

Arguments: the Parquet file of rows, the Parquet file of questions, the feature columns with commas between.
"""

import sys

import duckdb
import pandas
from speaking import serve

ROWS, QUESTIONS, COLUMNS = sys.argv[1:4]
FEATURES = ", ".join(f"r.{name}" for name in COLUMNS.split(","))
# A version about an earlier time than one known before it is no latest row; of equal moments the newest answers.
QUERY = f"""
with versions as (
    select *, max(timestamp) over (
        partition by symbol order by known_at, watermark, row_id rows between unbounded preceding and current row
    ) as newest
    from read_parquet('{ROWS}')
    where watermark <= ?
),

known as (
    select * from versions
    where timestamp >= newest
    qualify row_number() over (partition by symbol, known_at order by watermark desc, row_id desc) = 1
)

select q.symbol, q.as_of, r.source, r.timestamp, r.known_at, r.decision_at, r.watermark, r.row_id, {FEATURES}
from questions as q
asof left join known as r on q.symbol = r.symbol and q.as_of >= r.known_at
"""

connection = duckdb.connect()
connection.execute("set timezone = 'UTC'")
questions = pandas.read_parquet(QUESTIONS)
connection.register("questions", questions)


def join(watermark):
    connection.execute(QUERY, [watermark]).df()


def check(watermark):
    frame = connection.execute(QUERY, [watermark]).df()
    return {"row_ids": int(frame["row_id"].sum()), "rows": len(frame), "known": int(frame["row_id"].count())}


serve({"join": join, "check": check})

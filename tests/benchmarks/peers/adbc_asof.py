"""ADBC + pandas.merge_asof: all row versions out of PostgreSQL, then the join in pandas, versions and watermark included.

Arguments: the URL, the Parquet file of questions, the definition, the feature columns with commas between.
"""

import sys

import adbc_driver_postgresql.dbapi as adbc
import pandas
from speaking import serve

URL, QUESTIONS, DEFINITION, COLUMNS = sys.argv[1:5]
FEATURES = COLUMNS.split(",")
QUERY = f"""
select source, symbol, timestamp, known_at, decision_at, watermark, row_id, {COLUMNS}
from features.daily where definition = '{DEFINITION}' and watermark <= $1
"""

connection = adbc.connect(URL)
questions = pandas.read_parquet(QUESTIONS)


def answered(watermark):
    with connection.cursor() as cursor:
        cursor.execute(QUERY, (watermark,))
        rows = cursor.fetch_arrow_table().to_pandas()
    connection.rollback()
    rows = rows.sort_values(["known_at", "watermark", "row_id"], kind="stable")
    rows = rows[rows["timestamp"] >= rows.groupby("symbol")["timestamp"].cummax()]
    rows = rows.drop_duplicates(["symbol", "known_at"], keep="last")
    rows["known_at"] = rows["known_at"].astype(questions["as_of"].dtype)
    asked = questions.sort_values("as_of", kind="stable")
    joined = pandas.merge_asof(asked, rows, left_on="as_of", right_on="known_at", by="symbol")
    joined.index = asked.index
    return joined.sort_index()


def join(watermark):
    answered(watermark)


def check(watermark):
    frame = answered(watermark)
    return {"row_ids": int(frame["row_id"].sum()), "rows": len(frame), "known": int(frame["row_id"].count())}


serve({"join": join, "check": check})

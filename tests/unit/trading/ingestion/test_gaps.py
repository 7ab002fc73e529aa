"""Which long gaps count, by what is delivered and what is stored; a calendar of every day, so sessions are days."""

from __future__ import annotations

from datetime import date, timedelta

from trading.ingestion.gaps import Gap, Neighbours, Part, Stored, long_gaps, name_of, next_name, split_at, stretches

START = date(2000, 1, 1)


def _day(number: int) -> date:
    return START + timedelta(days=number)


def _between(calendar: str, before: date, after: date) -> int:
    return (after - before).days - 1


def _gaps(
    delivered: dict[str, list[int]], stored: list[int] | None = None, *, others: bool = False
) -> list[tuple[str, int, int, str]]:
    days = {symbol: [_day(number) for number in numbers] for symbol, numbers in delivered.items()}
    there = [_day(number) for number in stored or []]
    asked = {*there, *(day for several in days.values() for day in several)}
    neighbours = {
        ("A", day): Neighbours(
            max((one for one in there if one < day), default=None),
            max((one for one in there if one <= day), default=None),
            min((one for one in there if one >= day), default=None),
            min((one for one in there if one > day), default=None),
        )
        for day in asked
    }
    found = long_gaps(days, Stored(neighbours, lambda *_: others), dict.fromkeys(days, "24/7"), _between)
    return [(g.symbol, (g.last_before - START).days, (g.first_after - START).days, g.refused) for g in found]


def test_a_gap_inside_a_delivery_counts_and_the_later_bars_are_refused() -> None:
    assert _gaps({"A": [0, 1, 252]}) == []  # 250 days without a bar
    assert _gaps({"A": [0, 1, 253]}) == [("A", 1, 253, "after")]


def test_a_gap_to_stored_bars_counts_where_others_have_bars() -> None:
    assert _gaps({"A": [300]}, [0]) == []
    assert _gaps({"A": [300]}, [0], others=True) == [("A", 0, 300, "after")]
    assert _gaps({"A": [300], "B": [150]}, [0]) == [("A", 0, 300, "after")]
    assert _gaps({"A": [300], "B": [300]}, [0]) == []


def test_stored_bars_close_a_gap_of_a_delivery() -> None:
    assert _gaps({"A": [0, 300]}, [100, 200], others=True) == []


def test_what_stored_bars_span_already_was_judged_before() -> None:
    assert _gaps({"A": [0, 300, 301]}, [0, 300]) == []
    assert _gaps({"A": [1, 301]}, [0, 300], others=True) == []


def test_older_bars_than_the_stored_are_the_refused_side() -> None:
    assert _gaps({"A": [0, 300]}, [300], others=True) == [("A", 0, 300, "before")]
    assert _gaps({"A": [0]}, [300], others=True) == [("A", 0, 300, "before")]


def test_parts_are_numbered_and_a_bar_belongs_to_the_last_that_has_begun() -> None:
    gaps = [Gap("A", _day(1), _day(300), 298, "24/7", "after"), Gap("A.2", _day(310), _day(900), 589, "24/7", "after")]
    first = split_at(gaps[:1], ())
    assert first == [Part("A", _day(300), "A.2")]
    both = split_at(gaps[1:], first)
    assert [part.name for part in both] == ["A.2", "A.3"]
    assert next_name("A", both) == "A.4"
    named = name_of(both)
    assert [named("A", _day(n)) for n in (0, 299, 300, 899, 900)] == ["A", "A", "A.2", "A.2", "A.3"]
    assert named("B", _day(900)) == "B"


def test_bars_before_a_gap_cannot_be_split_off() -> None:
    assert split_at([Gap("A", _day(0), _day(300), 299, "24/7", "before")], ()) == []


def test_stretches_are_cut_only_where_a_gap_could_be_too_long() -> None:
    assert stretches([_day(n) for n in (400, 0, 250)]) == [(_day(0), _day(400))]
    assert stretches([_day(n) for n in (0, 251)]) == [(_day(0), _day(0)), (_day(251), _day(251))]

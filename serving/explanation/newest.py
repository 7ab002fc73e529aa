"""Which fill and which decision came last: of the source that was traded last, so that a run's own are meant.

By the time of the bar, as the report of a run takes its last fill; two of one moment in the order of their ids.
"""

from __future__ import annotations

from serving.explanation.replay import Sources
from trading.errors import InputError

_FILL = """
select fill_id from trading.fills as f join trading.sessions as s using (session_id)
where s.source = (select source from trading.sessions order by created_at desc limit 1)
order by f.timestamp desc, f.fill_id limit 1
"""

_DECISION = """
select decision_id from trading.decisions as d join trading.sessions as s using (session_id)
where s.source = (select source from trading.sessions order by created_at desc limit 1)
order by d.timestamp desc, d.decision_id limit 1
"""


def newest_fill(sources: Sources) -> str:
    """Return the id of the newest fill.

    Raises:
        InputError: no order was ever filled.
    """
    row = sources.conn.execute(_FILL).fetchone()
    if row is None:
        raise InputError("expected a fill, found none; `tradeloom explain decision --last` says why none was ordered")
    return str(row[0])


def newest_decision(sources: Sources) -> str:
    """Return the id of the newest decision.

    Raises:
        InputError: nothing was ever decided.
    """
    row = sources.conn.execute(_DECISION).fetchone()
    if row is None:
        raise InputError("expected a decision, found none; `tradeloom demo` runs two sessions")
    return str(row[0])

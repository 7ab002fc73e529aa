"""The trading loop as assets see it: where `assets` and `serving`, which do not know each other, are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from assets.paper import PaperOutcome, PaperRequest
from serving.trading_loop.bootstrap import LoopSettings, run_session
from serving.trading_loop.session import SessionTerms


@dataclass(frozen=True)
class LoopDesk:
    """Satisfies `assets.paper.PaperDesk` with the real loop on the paper broker."""

    settings: LoopSettings

    def run(self, request: PaperRequest) -> PaperOutcome:
        """Open or find the session and take it as far as its bars go."""
        terms = SessionTerms(
            name=request.name,
            source=request.source,
            symbols=request.symbols,
            first_timestamp=request.first_timestamp,
            last_timestamp=request.last_timestamp,
            model_name=request.model_name,
            alias=request.alias,
            starting_cash_usd=request.starting_cash_usd,
        )
        report = run_session(terms, self.settings)
        return PaperOutcome(**vars(report))

    def explain_last_fill(self, session_ids: Sequence[str]) -> tuple[str, str, bool] | None:
        """Explain the last fill of these sessions, every link of its chain checked."""
        from orchestration.explanation_sources import explanation_sources
        from serving.explanation.explain import explain_fills

        with explanation_sources(lambda _line: None) as sources:
            last = sources.conn.execute(_LAST_FILL, [list(session_ids)]).fetchone()
            if last is None:
                return None
            explained = explain_fills(sources, [last[0]])[0]
        return explained.identity, explained.text, explained.is_verified


_LAST_FILL = """
select fill_id from trading.fills where session_id = any(%s) order by timestamp desc, fill_id limit 1
"""

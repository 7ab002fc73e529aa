"""The answers of /score again: the recorded texts, asked of the recorded scorer in a pinned process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serving.explanation.compared import Compared
from serving.explanation.findings import Cause, Finding, record_changed
from serving.explanation.kept_answers import KeptAnswer
from serving.explanation.score_answering import AskedScores, ScoreAnswers, Scored
from trading.adapters.served_scores import ServedScores
from trading.learners.environment import environment_differences

TOLERANCE = 1e-6
"""How far a score may be off in another numeric environment."""

Kept = KeptAnswer[ServedScores]
AskScores = Callable[[Sequence[AskedScores]], ScoreAnswers]


def scores_again(block: Sequence[Kept], ask: AskScores) -> list[Compared]:
    """Return of each request what is wrong with its answer, in their order."""
    intact = [kept for kept in block if kept.is_intact]
    found = ask([_asked(kept.row) for kept in intact]) if intact else ScoreAnswers([], {})
    given = {kept.served_id: answer for kept, answer in zip(intact, found.answers, strict=True)}
    return [_compared(kept, given.get(kept.served_id), found.environment) for kept in block]


def _asked(row: ServedScores) -> AskedScores:
    texts = [text.decode() for text in row.texts]
    return AskedScores(row.model.model_name, row.scorer, row.model.model_version, texts)


def _compared(kept: Kept, answer: Scored | str | None, here: dict[str, str]) -> Compared:
    if answer is None:
        return Compared.of(kept, [record_changed()], is_same_environment=True)
    is_same = not environment_differences(kept.row.model.environment, here)
    return Compared.of(kept, _findings(kept.row, answer, is_same), is_same)


def _findings(row: ServedScores, answer: Scored | str, is_same: bool) -> list[Finding]:
    if isinstance(answer, str):
        return [Finding(Cause.MODEL_UNUSABLE, answer)]
    if answer.weights_sha256 != row.model.weights_sha256:
        expected = f"expected weights {row.model.weights_sha256}, found {answer.weights_sha256}"
        return [Finding(Cause.MODEL_UNUSABLE, expected)]
    cause, tolerance = (Cause.ANSWER_DIFFERS, 0.0) if is_same else (Cause.ENVIRONMENT_DIFFERS, TOLERANCE)
    recorded, now = zip(row.scores, row.labels, strict=True), zip(answer.scores, answer.labels, strict=True)
    for place, ((score, label), (score_now, label_now)) in enumerate(zip(recorded, now, strict=True), start=1):
        if label != label_now or not abs(score - score_now) <= tolerance:  # so that NaN differs
            said = f"{label_now} ({score_now!r}) to text {place} of {len(row.texts)}"
            return [Finding(cause, f"the scorer answers {said}, it was {label} ({score!r})")]
    return []

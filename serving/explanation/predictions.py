"""The answers of /predict again: the recorded state, asked of the recorded version in a pinned process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.explanation.answering import Answers, Asked, ask_again
from serving.explanation.compared import Compared
from serving.explanation.findings import Cause, Finding, record_changed
from serving.explanation.kept_answers import KeptAnswer
from serving.explanation.models import Models, answer_findings
from trading.adapters.served_models import ServedModel
from trading.adapters.served_predictions import ServedPrediction
from trading.learners.environment import environment_differences
from trading.strategy import STATE

Kept = KeptAnswer[ServedPrediction]


@dataclass
class _OfOneModel:
    """The answers of one version in one environment, those that can be asked again, and why the others cannot."""

    model: ServedModel
    problems: Sequence[Finding]
    asked: list[Kept] = field(default_factory=list)


def predictions_again(block: Sequence[Kept], models: Models) -> list[Compared]:
    """Return of each answer what is wrong with it, in their order.

    Raises:
        EngineUnavailableError: the registry does not answer; that says nothing about a model.
    """
    groups = _by_model(block, models)
    questions = {name: _question(group, models) for name, group in groups.items() if group.asked}
    answers = ask_again(questions) if questions else Answers({}, {})
    given = {
        kept.served_id: answer
        for name, found in answers.by_model.items()
        for kept, answer in zip(groups[name].asked, found, strict=True)
    }
    return [_compared(kept, groups[_name(kept)], given.get(kept.served_id), answers.environment) for kept in block]


def _by_model(block: Sequence[Kept], models: Models) -> dict[str, _OfOneModel]:
    groups: dict[str, _OfOneModel] = {}
    for kept in block:
        model, name = kept.row.model, _name(kept)
        if name not in groups:
            found = models.version_problems(model.model_name, model.model_version, str(model.weights_sha256))
            groups[name] = _OfOneModel(model, [Finding(Cause.MODEL_UNUSABLE, what) for what in found])
        if kept.is_intact and not groups[name].problems:
            groups[name].asked.append(kept)
    return groups


def _name(kept: Kept) -> str:
    return kept.row.model.row_hash.hex()


def _question(group: _OfOneModel, models: Models) -> Asked:
    return models.question(group.model.model_name, group.model.model_version, [_whole(one) for one in group.asked])


def _whole(kept: Kept) -> list[float]:
    state = list(kept.row.state)
    return [*state, *[0.0] * (len(STATE) - len(state))]  # as /predict does: no sentiment is one of zero


def _compared(kept: Kept, group: _OfOneModel, answer: tuple[int, float] | None, here: dict[str, str]) -> Compared:
    if not kept.is_intact:
        return Compared.of(kept, [record_changed(), *group.problems], is_same_environment=True)
    if group.problems:
        return Compared.of(kept, group.problems, is_same_environment=True)
    is_same = not environment_differences(group.model.environment, here)
    return Compared.of(kept, answer_findings(answer, kept.row.action, kept.row.confidence, is_same), is_same)

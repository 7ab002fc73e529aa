"""The models behind decisions: loaded from the registry once per version, their weights checked against the
decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.explanation.answering import Answers, Asked, ask_again
from serving.explanation.findings import Cause, Finding
from serving.explanation.stored import StoredDecision
from trading.errors import EngineError, TradeloomError
from trading.learners.environment import environment_differences

CONFIDENCE_TOLERANCE = 1e-6
"""How far a confidence may be off in another numeric environment; in the same one it may not be off at all."""


class LoadedVersion(Protocol):
    """A version of a registered model, its weights verified."""

    @property
    def payload(self) -> bytes:
        """The canonical bytes of what decides."""

    @property
    def card(self) -> Any:
        """Its card."""


class VersionRegistry(Protocol):
    """Where versions are loaded from (`trading.adapters.registry`)."""

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> Any:
        """Return a version; raises ModelHashError where the weights are not the recorded ones."""


@dataclass(frozen=True)
class Version:
    """A version that could be loaded, or why it could not."""

    loaded: LoadedVersion | None
    problem: str | None


@dataclass
class Models:
    """Versions by (name, number), and the answers they give again."""

    registry: VersionRegistry
    _versions: dict[tuple[str, str], Version] = field(default_factory=dict)
    _answers: dict[str, tuple[int, float]] = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict)

    def version(self, name: str, number: str) -> Version:
        """Return a version.

        Raises:
            EngineUnavailableError: the registry does not answer; that says nothing about the model.
        """
        key = (name, number)
        if key not in self._versions:
            try:
                self._versions[key] = Version(self.registry.load(name, version=number), None)
            except EngineError:
                raise
            except TradeloomError as error:
                self._versions[key] = Version(None, str(error))
        return self._versions[key]

    def weight_differences(self, decision: StoredDecision) -> list[str]:
        """Return how the version's weights differ from those that the decision recorded."""
        row = decision.row
        return self.version_problems(row.model_name, row.model_version, row.weights_sha256)

    def version_problems(self, name: str, number: str, weights_sha256: str) -> list[str]:
        """Return why a version cannot be asked again: it is gone, or its weights are not the recorded ones."""
        version = self.version(name, number)
        if version.loaded is None:
            return [f"{name} version {number}: {version.problem}"]
        found = hashlib.sha256(version.loaded.payload).hexdigest()
        return [] if found == weights_sha256 else [f"expected weights {weights_sha256}, found {found}"]

    def ask(self, decisions: Iterable[StoredDecision]) -> None:
        """Ask every model the stored vectors of all these decisions again, in one pinned process."""
        asked: dict[str, list[StoredDecision]] = {}
        for decision in decisions:
            row = decision.row
            if row.vector is not None and self.version(row.model_name, row.model_version).loaded is not None:
                asked.setdefault(f"{row.model_name}/{row.model_version}", []).append(decision)
        questions = {name: self._question(same) for name, same in asked.items()}
        answers = ask_again(questions) if questions else Answers({}, {})
        self._environment = answers.environment
        for name, same in asked.items():
            for decision, answer in zip(same, answers.by_model[name], strict=True):
                if answer is not None:
                    self._answers[decision.row.decision_id] = answer

    def is_same_environment(self, decision: StoredDecision) -> bool:
        """Return whether bits are promised to be equal here; so they are where no model was asked."""
        return not self.environment_differences(decision)

    def environment_differences(self, decision: StoredDecision) -> list[str]:
        """Return what of the numeric environment is not what it was when the decision was made."""
        if decision.row.vector is None:
            return []
        return environment_differences(dict(decision.row.environment), self._environment)

    def differences(self, decision: StoredDecision) -> list[str]:
        """Return how the answer to the stored vector differs from the stored decision."""
        return [finding.what for finding in self.findings(decision)]

    def findings(self, decision: StoredDecision) -> list[Finding]:
        """Return the same with the cause of each difference."""
        row = decision.row
        found = [Finding(Cause.MODEL_UNUSABLE, what) for what in self.weight_differences(decision)]
        if row.vector is None:
            return found
        answer = self._answers.get(row.decision_id)
        if answer is None and found:
            return found
        return [*found, *answer_findings(answer, row.action, row.confidence, self.is_same_environment(decision))]

    def question(self, name: str, number: str, vectors: Sequence[Sequence[float]]) -> Asked:
        """Return what asks a version these vectors."""
        loaded = self.version(name, number).loaded
        return Asked(
            kind="" if loaded is None else loaded.card.kind,
            payload=b"" if loaded is None else loaded.payload,
            vectors=vectors,
        )

    def _question(self, decisions: list[StoredDecision]) -> Asked:
        row = decisions[0].row
        return self.question(row.model_name, row.model_version, [one.row.vector or () for one in decisions])


def answer_findings(
    answer: tuple[int, float] | None, action: int | None, confidence: float | None, is_same: bool
) -> list[Finding]:
    """Return how an answer differs from the recorded one; `is_same`: bits are promised to be equal here."""
    if answer is None:
        return [Finding(Cause.ANSWER_DIFFERS, "the model gave no answer")]
    action_now, confidence_now = answer
    recorded = -1.0 if confidence is None else confidence
    tolerance = 0.0 if is_same else CONFIDENCE_TOLERANCE
    if action_now == action and abs(confidence_now - recorded) <= tolerance:  # so that NaN differs
        return []
    what = f"the model answers {action_now} ({confidence_now!r}), it was {action} ({confidence!r})"
    return [Finding(Cause.ANSWER_DIFFERS if is_same else Cause.ENVIRONMENT_DIFFERS, what)]

"""A verdict as it is kept: a tag of the challenger's version, about one champion, read again by promotion and by people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

VERDICT_TAG = "verdict"


@dataclass(frozen=True)
class Judged:
    """The gate's answer about two versions of one slot."""

    champion: str
    challenger: str
    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]

    def to_tag(self) -> str:
        """Return the verdict as canonical JSON."""
        return json.dumps({**vars(self), "reasons": list(self.reasons)}, sort_keys=True)

    @classmethod
    def from_tag(cls, text: str) -> Judged:
        """Return the verdict that `to_tag` wrote."""
        stored = json.loads(text)
        return cls(**{**stored, "reasons": tuple(stored["reasons"])})


def verdict_in(tags: Mapping[str, str], champion: str) -> Judged | None:
    """Return the verdict against this champion; None if the version was not judged against it."""
    judged = Judged.from_tag(tags[VERDICT_TAG]) if VERDICT_TAG in tags else None
    return judged if judged is not None and judged.champion == champion else None

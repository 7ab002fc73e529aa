"""What the sentiment head sees of a text beside its embedding: direction, and hashed words.

A mean-pooled embedding hardly tells "rose to 9.6 from 6.2" from "fell to 6.2 from 9.6": the order of the numbers is
averaged away. So the text is read a second time for direction: which of two compared numbers is the newer, which way a
verb points, and whether what moved is good (sales) or bad (a loss) when it grows. The word lists are in cues.py, the
embedding in embeddings.py, the weights in head.py. Everything here is a pure function of one text.

Hashed n-grams: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009).
"""

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trading.sentiment import cues
from trading.sentiment.tokens import Token, tokens

FEATURES_VERSION: Final = "direction-1"
BUCKETS: Final = 2048
EVIDENCE: Final = (
    "compared_better",
    "compared_worse",
    "swing_better",
    "swing_worse",
    "moved_better",
    "moved_worse",
    "up_unmeasured",
    "down_unmeasured",
    "good_event",
    "bad_event",
    "relief",
    "deal",
    "deal_refused",
    "supplies",
)
CUE_NAMES: Final = (
    *EVIDENCE,
    "conceded_better",
    "conceded_worse",
    "conceded_good_event",
    "conceded_bad_event",
    "plain_fact",
    "net",
    "net_better",
    "net_worse",
    "silent",
    "has_number",
    "has_percent",
    "has_loss",
    "has_negation",
)
FEATURE_COUNT: Final = len(CUE_NAMES) + BUCKETS


def comparisons(found: Sequence[Token]) -> list[int]:
    """Return, per pair of compared numbers, +1 where the newer is the better one, -1 where it is the worse.

    A loss, a cost or a debt counts with a minus, so "a loss of 1.2 against a loss of 3.0" is better.
    """
    signs: list[int] = []
    if any(token.text in cues.OWNERSHIP for token in found):
        return signs
    for is_percent in (False, True):
        numbers = [at for at, token in enumerate(found) if token.is_number and token.is_percent is is_percent]
        for first, second in itertools.pairwise(numbers):
            order = _order(found, first, second)
            older, newer = (first, second) if order > 0 else (second, first)
            signs.append(abs(order) * _sign(_signed(found, newer, first) - _signed(found, older, first)))
    return [sign for sign in signs if sign]


def _order(found: Sequence[Token], first: int, second: int) -> int:
    """Return +1 if the second number is the newer, -1 if the first is, 0 if they are not compared."""
    between = [token.text for token in found[first + 1 : second]]
    if "from" in [token.text for token in found[max(0, first - 3) : first]]:
        return 1 if "to" in between else 0
    bracketed = "(" in between[-2:] and ")" in [token.text for token in found[second : second + 4]]
    close = len(between) <= 18 and ";" not in between
    plain_from = "from" in between[-5:] and not {",", "and"} & set(between[between.index("from") :])
    return -1 if bracketed or (close and (plain_from or cues.COMPARED & set(between))) else 0


def _signed(found: Sequence[Token], at: int, first: int) -> float:
    """Return a number with the sign of what it measures: the nearest measure before it, else the first number's."""
    if at + 1 < len(found) and found[at + 1].text in cues.LOSS_WORD:
        return -found[at].value
    signs = _measures(found[first + 1 : at]) if at > first else []
    signs = signs or _measures(found[:first])
    return found[at].value * (signs[-1] if signs else 1)


def _measures(found: Sequence[Token]) -> list[int]:
    return [sign for sign in (_measure(token.text) for token in found) if sign]


def _measure(word: str) -> int:
    """Return +1 for what is better when it grows, -1 for what is worse, 0 for any other word."""
    if word in cues.BAD_MEASURE or word in cues.LOSS_WORD:
        return -1
    return 1 if word in cues.GOOD_MEASURE or word in cues.PROFIT_WORD else 0


def _direction(word: str) -> int:
    return 1 if word in cues.UP else -int(word in cues.DOWN)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _moved(words: Sequence[str], at: int) -> int:
    """Return the measure that a direction word speaks of: the nearest in its clause, else the last one before it."""
    for distance in range(1, 9):
        for other in (at + distance, at - distance):
            inside = 0 <= other < len(words) and not cues.CLAUSE_END & set(words[min(at, other) + 1 : max(at, other)])
            if inside and _measure(words[other]) and distance <= (4 if other > at else 8):
                return _measure(words[other])
    before = [_measure(word) for word in words[:at] if _measure(word)]
    return before[-1] if before else 0


def _swing(words: Sequence[str]) -> int:
    """Return +1 for a profit set against an earlier loss, -1 for a loss set against an earlier profit, else 0."""
    signs = [(at, _state(word)) for at, word in enumerate(words) if _state(word)]
    for (first, new), (second, old) in itertools.pairwise(signs):
        if new != old and {*cues.COMPARED, "from", "after"} & set(words[first:second]):
            return new
    return 0


def _state(word: str) -> int:
    return -1 if word in cues.LOSS_WORD else int(word in cues.PROFIT_WORD)


def _relieved(words: Sequence[str], at: int) -> bool:
    """Tell whether the trouble at this place is over: "dismisses the lawsuit", "lay-offs can be avoided"."""
    return words[at] in cues.TROUBLE and any(word in cues.RELIEF for word in words[max(0, at - 5) : at + 6])


def _conceded(words: Sequence[str]) -> list[bool]:
    """Mark the words of a concession ("despite a weak market, ..."): they are not the message."""
    marks, inside = [], False
    for at, word in enumerate(words):
        starts = word in cues.CONCESSION or (word == "spite" and words[at - 1] == "in")
        inside = starts or (inside and word not in (",", ";"))
        marks.append(inside)
    return marks


def cue_counts(text: str) -> dict[str, float]:
    """Read the direction of a text: one number for each of CUE_NAMES."""
    found = tokens(text)
    words = [token.text for token in found]
    counts = dict.fromkeys(CUE_NAMES, 0.0)
    for at, conceded in enumerate(_conceded(words)):
        _count(words, at, conceded, counts)
    compared, swing = comparisons(found), _swing(words)
    counts["compared_better"], counts["compared_worse"] = float(1 in compared), float(-1 in compared)
    counts["swing_better"], counts["swing_worse"] = float(swing > 0), float(swing < 0)
    counts["has_number"] = float(any(token.is_number for token in found))
    counts["has_percent"] = float(any(token.is_percent for token in found))
    counts["has_loss"] = float(any(word in cues.LOSS_WORD for word in words))
    counts["has_negation"] = float(bool(cues.NEGATION & set(words)))
    _count_deal(words, counts)
    _tally(counts)
    return {name: count if name == "net" else min(count, 2.0) for name, count in counts.items()}


def _count_deal(words: Sequence[str], counts: dict[str, float]) -> None:
    """Tell business won (a verb of signing or supplying, and an order) from business refused (the same with a not)."""
    verbs = [at for at, word in enumerate(words) if word in cues.DEAL_VERB]
    if verbs and any(word in cues.DEAL_NOUN for word in words):
        is_refused = bool(cues.NEGATION & set(words[max(0, verbs[0] - 4) : verbs[0]]))
        counts["deal_refused" if is_refused else "deal"] = 1.0
    counts["supplies"] = float("<supplies>" in words)


def _tally(counts: dict[str, float]) -> None:
    """Add up the evidence: a linear head cannot see by itself that good and bad cancel, or that all are silent."""
    pairs = (("compared", 2), ("swing", 2), ("moved", 1))
    net = sum(weight * (counts[f"{name}_better"] - counts[f"{name}_worse"]) for name, weight in pairs)
    net += counts["relief"] + counts["good_event"] - counts["bad_event"]
    counts |= {"net": max(-3.0, min(3.0, net)) / 3, "net_better": float(net > 0), "net_worse": float(net < 0)}
    counts["silent"] = float(not any(counts[name] for name in (*EVIDENCE, "has_loss")))


def _count(words: Sequence[str], at: int, conceded: bool, counts: dict[str, float]) -> None:
    """Count what the word at one place says: a direction with its measure, an event, or a plain fact."""
    word, flip = words[at], -1 if cues.NEGATION & set(words[max(0, at - 6) : at]) else 1
    direction = _direction(word) * flip
    good, bad = word in cues.GOOD_EVENT, word in cues.BAD_EVENT
    if _relieved(words, at):
        counts["relief"] += 1
    elif direction:
        _count_move(direction, _moved(words, at), conceded, counts)
    elif good is not bad and not (bad and any(_relieved(words, near) for near in range(max(0, at - 5), at))):
        counts[f"{'conceded_' if conceded else ''}{'good' if good is (flip > 0) else 'bad'}_event"] += 1
    counts["plain_fact"] += word in cues.PLAIN_FACT


def _count_move(direction: int, measure: int, conceded: bool, counts: dict[str, float]) -> None:
    if measure:
        counts[f"{'conceded' if conceded else 'moved'}_{'better' if direction * measure > 0 else 'worse'}"] += 1
    elif not conceded:
        counts["up_unmeasured" if direction > 0 else "down_unmeasured"] += 1


def hashed_words(text: str) -> NDArray[np.float64]:
    """Hash the words and word pairs of a text into BUCKETS signed counts of length one."""
    words = [token.text for token in tokens(text)]
    counts = np.zeros(BUCKETS)
    for gram in [*words, *(f"{left} {right}" for left, right in itertools.pairwise(words))]:
        code = zlib.crc32(gram.encode())
        counts[code % BUCKETS] += 1.0 if code & 0x80000000 else -1.0
    length = math.sqrt(math.fsum(counts * counts))
    return counts / length if length else counts


def text_features(text: str) -> NDArray[np.float64]:
    """Return the features of one text: the cues in the order of CUE_NAMES, then the hashed words."""
    return np.concatenate([np.array(list(cue_counts(text).values())), hashed_words(text)])

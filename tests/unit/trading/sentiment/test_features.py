"""Direction is read from the order of figures, the verb and what moved; features are a function of one text."""

import hashlib

import numpy as np
import pytest

from trading.sentiment.features import (
    CUE_NAMES,
    FEATURE_COUNT,
    FEATURES_VERSION,
    comparisons,
    cue_counts,
    hashed_words,
    text_features,
)
from trading.sentiment.tokens import tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Operating profit was EUR 9.6 mn, up from EUR 6.2 mn.", [1]),
        ("Operating profit went from EUR 6.2 mn a year earlier to EUR 9.6 mn.", [1]),
        ("Operating profit went from EUR 9.6 mn a year earlier to EUR 6.2 mn.", [-1]),
        ("Net sales were EUR 5.2m (EUR 7.1m).", [-1]),
        ("Net sales were EUR 5.2 mn, compared with EUR 900,000 in 2006.", [1]),
        ("The loss narrowed to EUR 1.2 mn from EUR 3.0 mn.", [1]),
        ("The loss was EUR 0.9 mn, compared to a profit of EUR 0.4 mn.", [-1]),
        ("Net debt was EUR 310 mn, against EUR 220 mn.", [-1]),
        ("The margin was 4.3 % ( 7.8 % ) .", [-1]),
        ("Net sales were EUR 5.2 mn and investments EUR 0.4 mn.", []),
        ("The fund's stake fell to 4.8 percent from 5.1 percent of the votes.", []),
    ],
)
def test_two_compared_figures_give_the_direction(text: str, expected: list[int]) -> None:
    assert comparisons(tokens(text)) == expected


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("Sales rose sharply.", "moved_better"),
        ("Costs rose sharply.", "moved_worse"),
        ("Lower costs lay behind it.", "moved_better"),
        ("Sales did not rise.", "moved_worse"),
        ("Despite falling sales, the firm carries on.", "conceded_worse"),
        ("A profit of EUR 1 mn after a loss of EUR 2 mn", "swing_better"),
        ("The court dismissed the lawsuit.", "relief"),
        ("Brask signed a contract with a mine.", "deal"),
        ("The mine did not sign the contract.", "deal_refused"),
        ("Brask makes pumps.", "silent"),
    ],
)
def test_a_sentence_shows_its_cue(text: str, cue: str) -> None:
    assert cue_counts(text)[cue] > 0


def test_figures_in_another_order_are_other_features() -> None:
    up = text_features("Sales were EUR 5 mn, compared with EUR 4 mn.")
    down = text_features("Sales were EUR 4 mn, compared with EUR 5 mn.")
    assert (up != down).any()


def test_features_have_one_length_and_are_finite() -> None:
    for text in ("", "?", "5", "1,2,3,4", "-", "( (", "Sales " * 400, "日本 株価"):
        features = text_features(text)
        assert features.shape == (FEATURE_COUNT,)
        assert np.isfinite(features).all()
    assert list(cue_counts("Sales rose.")) == list(CUE_NAMES)


def test_hashed_words_have_length_one() -> None:
    assert np.linalg.norm(hashed_words("Sales rose in Norway.")) == pytest.approx(1.0)
    assert not hashed_words("").any()


def test_what_is_read_of_a_text_belongs_to_its_version() -> None:
    """If this fails, the head's input has changed: move FEATURES_VERSION, train again, then put the new hash here."""
    texts = [
        "Operating profit totalled EUR 5.1 mn , up from EUR 3.9 mn .",
        "Acme cuts full-year outlook, cites weak demand",
        "Despite lower costs, the loss widened to $3m from $1m; no dividend will be paid.",
        "The contract covers design and installation, and the court dismissed the lawsuit.",
    ]
    digest = hashlib.sha256(b"".join(text_features(text).tobytes() for text in texts)).hexdigest()
    assert (FEATURES_VERSION, digest[:16]) == ("direction-1", "ede8d6dff7899367")

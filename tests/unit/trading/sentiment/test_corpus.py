"""The corpus is ours, balanced and clean; the split is by family; the measures agree with hand sums."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trading.sentiment.corpus import TOPICS, Sentence, Split, evaluate, families, grouped_split, load_corpus


def _plain(sentence: Sentence) -> str:
    return re.sub(r"\W+", " ", sentence.text.lower()).strip()


def test_corpus_has_at_least_600_sentences_balanced_over_the_labels(corpus: tuple[Sentence, ...]) -> None:
    counts = Counter(sentence.label for sentence in corpus)
    assert len(corpus) >= 600
    assert max(counts.values()) - min(counts.values()) <= 0.02 * len(corpus)


def test_every_topic_has_sentences_of_every_label(corpus: tuple[Sentence, ...]) -> None:
    counts = Counter((sentence.topic, sentence.label) for sentence in corpus)
    assert {topic for topic, _ in counts} == set(TOPICS)
    assert len(counts) == 3 * len(TOPICS)
    assert min(counts.values()) >= 10


def test_no_sentence_comes_twice_nor_is_in_the_heldout_set(
    corpus: tuple[Sentence, ...], heldout: tuple[Sentence, ...]
) -> None:
    texts = [_plain(sentence) for sentence in (*corpus, *heldout)]
    assert len(set(texts)) == len(texts)


def test_no_heldout_sentence_is_a_rewording_of_a_corpus_sentence(
    corpus: tuple[Sentence, ...], heldout: tuple[Sentence, ...]
) -> None:
    numbers = families((*corpus, *heldout))
    trained, judged = set(numbers[: len(corpus)]), set(numbers[len(corpus) :])
    assert len(trained & judged) <= 0.02 * len(heldout)


def test_no_family_is_on_both_sides_of_the_split(corpus: tuple[Sentence, ...], split: Split) -> None:
    number = dict(zip((sentence.id for sentence in corpus), families(corpus), strict=True))
    assert not {number[s.id] for s in split.train} & {number[s.id] for s in split.test}
    assert len(split.train) + len(split.test) == len(corpus)
    assert len(split.test) == pytest.approx(0.2 * len(corpus), rel=0.05)


def test_same_seed_gives_the_same_split(corpus: tuple[Sentence, ...], split: Split) -> None:
    assert grouped_split(corpus, seed=7) == split
    assert grouped_split(corpus, seed=8) != split


def test_two_figures_in_the_same_words_are_one_family() -> None:
    first = Sentence("a-1", "Sales rose to EUR 4.1 mn in May.", "positive", "earnings")
    second = Sentence("b-1", "Sales rose to EUR 9.9 mn in May.", "positive", "earnings")
    third = Sentence("c-1", "The court dismissed a patent claim.", "positive", "lawsuits")
    numbers = families([first, second, third])
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x-1,,neutral,deals", "x-1"),
        ("x-1,Some text,happy,deals", "x-1"),
        ("x-1,Some text,neutral,weather", "x-1"),
        ("x-1,Some text,neutral,deals\nx-1,Other text,neutral,deals", "each id once"),
    ],
)
def test_a_bad_row_is_refused_by_its_id(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "corpus.csv"
    path.write_text(f"id,text,label,topic\n{row}\n")
    with pytest.raises(ValueError, match=message):
        load_corpus(path)


def test_measures_equal_a_hand_sum() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    found = evaluate(["positive", "neutral", "neutral", "negative"], probabilities)
    assert found.accuracy == pytest.approx(3 / 4)
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.log_loss == pytest.approx(-(3 * np.log(0.8) + np.log(0.4)) / 4)
    assert found.expected_calibration_error == pytest.approx((3 * 0.2 + 0.6) / 4)
    assert found.confusion[1] == pytest.approx((0.25, 0.25, 0.0))


def test_a_mix_weights_the_classes() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    found = evaluate(["positive", "neutral", "neutral", "negative"], probabilities, mix=(0.28, 0.61, 0.11))
    assert found.accuracy == pytest.approx(0.28 + 0.61 / 2 + 0.11)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 3"):
        evaluate([], np.empty((0, 2)))

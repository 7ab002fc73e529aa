"""A stem matches the words that begin with it, a whole word only itself."""

from trading.sentiment import cues
from trading.sentiment.cues import Stems


def test_a_stem_matches_beginnings_and_a_marked_word_only_itself() -> None:
    stems = Stems.of("increas =up")
    assert "increased" in stems
    assert "up" in stems
    assert "upper" not in stems


def test_no_word_points_up_and_down_at_once() -> None:
    assert not [word for word in cues.UP.whole | set(cues.UP.beginnings) if word in cues.DOWN]
    assert not [word for word in cues.DOWN.whole | set(cues.DOWN.beginnings) if word in cues.UP]

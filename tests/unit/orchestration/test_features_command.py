"""A time without a zone is refused with one that would do."""

from datetime import datetime

import pytest

from orchestration.commands.features import _moment
from trading.errors import NaiveTimeError


@pytest.mark.parametrize("text", ["2012-06-01", "2012-06-01T10:00", "2012-06-01T10:00:30"])
def test_the_zone_that_is_offered_makes_the_time_readable(text: str):
    with pytest.raises(NaiveTimeError) as refused:
        _moment(text)
    offered = str(refused.value).rpartition(" ")[2]
    assert datetime.fromisoformat(offered).tzinfo is not None

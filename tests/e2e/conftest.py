"""The prepared desk as a fixture; what it is stands in desk.py."""

from collections.abc import Iterator

import pytest
from desk import Desk, prepared_desk


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A prepared desk for the tests of one module."""
    with prepared_desk() as prepared:
        yield prepared

"""Starting again what died: with pauses, and not for ever."""

from infra.local.services import NAMES, NEEDS, with_needs
from infra.local.supervisor import MOST_RESTARTS, WINDOW_SECONDS, Restarts


def test_pauses_double_and_the_number_is_bounded():
    restarts = Restarts()
    pauses = [restarts.plan(float(moment)) for moment in range(MOST_RESTARTS + 1)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, None]


def test_a_service_that_ran_long_enough_gets_all_its_chances_back():
    restarts = Restarts()
    for moment in range(MOST_RESTARTS):
        restarts.plan(float(moment))
    assert restarts.plan(WINDOW_SECONDS + MOST_RESTARTS) == 1.0


def test_needs_are_started_too():
    assert with_needs(frozenset({"dagster-daemon"})) == {"postgres", "dagster", "dagster-daemon"}
    assert with_needs(frozenset({"oracle"})) == {"postgres", "s3", "mlflow", "oracle"}


def test_the_order_of_the_table_is_an_order_of_starting():
    for place, name in enumerate(NAMES):
        assert NEEDS[name] <= set(NAMES[:place])

"""What the product declares passes on the made-up market; SQL is compiled as dbt's macro does it."""

from feature_store.leaks.gate import DECLARED, judge_declared
from feature_store.leaks.project import _without_database
from trading.leaks.loading import declared_in_package


def test_the_learners_normalisation_and_reward_have_no_leak():
    declared = declared_in_package(DECLARED)
    assert {(one.name, one.kind) for one in declared} == {
        ("ppo_normalisation", "normalisation"),
        ("environment_reward", "label"),
    }
    for report in judge_declared(declared, None):
        assert report.passed, report.sentences()
        assert report.rows >= 30


def test_the_name_of_the_database_is_taken_out_and_working_rows_go_by_bare_name():
    compiled = '\n select * from "desk"."features"."pending_bars" join "desk"."raw"."sources" using (source);\n'
    assert _without_database(compiled, "desk") == 'select * from pending_bars join "raw"."sources" using (source)'

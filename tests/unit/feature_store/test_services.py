import json

import pytest

from feature_store.definitions import Definition
from feature_store.services import FeatureService, service_of
from trading.errors import InputError

DAILY = Definition(
    definition="d" * 64,
    view="features.daily",
    sql="select 1",
    functions={},
    columns=("close", "rsi_14", "macd", "volume", "sentiment"),
    parameters={"indicators": "i" * 64, "scorer": "head", "scorer_version": "3"},
    status="active",
)


def test_a_service_travels_through_json_unchanged() -> None:
    service = service_of(DAILY, "trader-daily")
    assert FeatureService.from_dict(json.loads(json.dumps(service.to_dict()))) == service


def test_a_service_names_its_scorer() -> None:
    service = service_of(DAILY, "trader-daily", ("close", "sentiment"))
    assert (service.columns, service.scorer, service.scorer_version) == (("close", "sentiment"), "head", "3")


def test_a_column_that_the_definition_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected features\.daily to have adx_14"):
        service_of(DAILY, "trader-daily", ("close", "adx_14"))


def test_a_service_without_a_definition_is_refused() -> None:
    given = service_of(DAILY, "trader-daily").to_dict()
    del given["definition"]
    with pytest.raises(InputError, match="with definition"):
        FeatureService.from_dict(given)

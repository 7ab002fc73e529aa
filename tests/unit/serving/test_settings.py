"""Settings are checked at start: a missing or wrong one names itself and its value."""

from __future__ import annotations

import pytest

from serving.analyst.bootstrap import AnalystSettings
from serving.oracle.bootstrap import OracleSettings
from trading.errors import InputError

NEEDED = {"TRADELOOM_POSTGRES_URL": "postgresql:///x", "TRADELOOM_MLFLOW_URL": "http://127.0.0.1:5000"}


def test_two_addresses_are_enough() -> None:
    oracle = OracleSettings.from_environment(NEEDED)
    assert (oracle.model, oracle.alias, oracle.poll_seconds) == ("trader-daily", "champion", 2.0)
    analyst = AnalystSettings.from_environment(NEEDED)
    assert (analyst.model, analyst.alias, analyst.llm) == ("sentiment-head", "champion", None)


@pytest.mark.parametrize("missing", sorted(NEEDED))
@pytest.mark.parametrize("settings", [OracleSettings, AnalystSettings])
def test_a_missing_address_is_named(settings: type[OracleSettings] | type[AnalystSettings], missing: str) -> None:
    with pytest.raises(InputError, match=f"expected the setting {missing}"):
        settings.from_environment({**NEEDED, missing: ""})


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
def test_a_wrong_number_is_named_with_its_value(value: str) -> None:
    with pytest.raises(InputError, match=f"TRADELOOM_ALIAS_POLL_SECONDS, found '{value}'"):
        OracleSettings.from_environment({**NEEDED, "TRADELOOM_ALIAS_POLL_SECONDS": value})


def test_a_language_model_is_asked_only_if_it_is_named() -> None:
    settings = AnalystSettings.from_environment(
        {**NEEDED, "TRADELOOM_LLM_MODEL": "llama", "TRADELOOM_LLM_PROVIDER": "ollama"}
    )
    assert settings.llm is not None
    assert (settings.llm.model, settings.llm.provider, settings.llm.base_url) == ("llama", "ollama", None)
    with pytest.raises(InputError, match="expected openai or ollama"):
        AnalystSettings.from_environment({**NEEDED, "TRADELOOM_LLM_MODEL": "x", "TRADELOOM_LLM_PROVIDER": "acme"})

"""Alpaca's own client for one request at a time, sent by `Calls`: the answer as it came."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from trading.adapters.sources.answers import Answer
from trading.adapters.sources.calls import Calls

KEY, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"


def asked(calls: Calls, version: str, path: str, params: dict[str, Any]) -> Answer:
    """Return the good answer, whole JSON, to a request that alpaca-py makes.

    Raises:
        VendorUnavailableError, VendorRefusedError, CredentialsError: as `Calls`.
    """
    from alpaca.common.rest import RESTClient

    class Client(RESTClient):
        def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Answer:  # type: ignore[override]
            return calls.once(url, opts["params"], opts["headers"])

    client = Client(calls.base_url, calls.secrets[KEY], calls.secrets[SECRET], api_version=version, raw_data=True)
    return calls.attempt(partial(_sent, client, path, params), f"/{version}{path}", Answer.value)


def _sent(client: Any, path: str, params: dict[str, Any]) -> Answer:
    return cast(Answer, client.get(path, params))

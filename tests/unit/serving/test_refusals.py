"""A refusal is one line with its reason, whatever its status."""

from __future__ import annotations

import json

import pytest

from serving.refusals import NotReady, plain_refusals
from trading.errors import EngineUnavailableError, InputError, LedgerError, ModelAnswerError, ModelError, ModelHashError

CASES = [
    (InputError("wrong"), 400),
    (ModelError("no such version"), 404),
    (ModelAnswerError("out of range"), 502),
    (ModelHashError("other weights"), 503),
    (EngineUnavailableError("gone"), 503),
    (NotReady("no model yet"), 503),
]


@pytest.mark.parametrize(("error", "status"), CASES)
def test_an_error_of_ours_becomes_its_status_and_reason(error: Exception, status: int) -> None:
    @plain_refusals
    def answer() -> str:
        raise error

    response = answer()
    assert response.status_code == status  # type: ignore[attr-defined]
    assert json.loads(response.body) == {"error": str(error)}  # type: ignore[attr-defined]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_async_method_refuses_alike(anyio_backend: str) -> None:
    @plain_refusals
    async def answer(fails: bool) -> str:
        if fails:
            raise ModelError("no such version")
        return "fine"

    assert await answer(False) == "fine"
    assert (await answer(True)).status_code == 404  # type: ignore[attr-defined]


def test_a_mistake_of_ours_is_no_refusal() -> None:
    @plain_refusals
    def answer() -> str:
        raise LedgerError("a bug")

    with pytest.raises(LedgerError):
        answer()

"""Every vendor against a server that speaks its protocol: what comes, and what each failure does. No database."""

import inspect
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from vendor_cases import BY_NAME, CASES, Case
from vendor_server import (
    VendorServer,
    changed,
    cut,
    empty,
    failing,
    instead,
    refusing,
    slow,
    too_many,
    trickling,
    truncated,
)

from trading.adapters.sources.calls import Patience
from trading.adapters.sources.registry import VENDORS, vendor_named
from trading.errors import (
    CredentialsError,
    InputError,
    MissingColumnError,
    UnreadablePayloadError,
    VendorUnavailableError,
)
from trading.ingestion.reader import Reader


@pytest.fixture(scope="module", params=CASES, ids=[case.name for case in CASES])
def case(request) -> Case:
    """Each vendor in turn."""
    return request.param


@pytest.fixture(scope="module")
def its_server(case: Case) -> Iterator[VendorServer]:
    """The vendor's protocol server, one for all tests of the vendor."""
    with VendorServer(case.answer) as server:
        yield server


@pytest.fixture
def server(its_server: VendorServer) -> VendorServer:
    """The server, as if nobody had asked it yet."""
    its_server.forget()
    return its_server


WITH_KEYS = [case for case in CASES if case.vendor.credentials]
EACH_CLIENT = [BY_NAME[name] for name in ("alpaca/news", "yfinance/prices")]  # ours, and that of yfinance
each_client = pytest.mark.parametrize("case", EACH_CLIENT, ids=lambda case: case.name, indirect=True, scope="module")
keyed = pytest.mark.parametrize("case", WITH_KEYS, ids=[case.name for case in WITH_KEYS], indirect=True, scope="module")


def test_the_pages_hold_every_row_with_its_decimals_as_they_were_written(case: Case, server: VendorServer):
    pages = case.fetched(server)
    assert len(pages) == case.pages
    assert case.read(pages) == case.rows


def test_a_stored_page_gives_its_rows_by_its_bytes_and_its_stored_reader_alone(case: Case, server: VendorServer):
    pages = case.fetched(server)
    stored = [replace(page, reader=Reader.from_dict(page.reader.as_dict())) for page in pages]
    assert case.read(stored) == case.rows


def test_a_fetch_goes_on_after_any_page(case: Case, server: VendorServer):
    pages = case.fetched(server)
    for place, page in enumerate(pages, start=1):
        rest = case.fetched(server, page.cursor)
        # A feed that has not changed since is no page; of the others each page is the same again.
        expected = [] if case.source == "rss" and place == len(pages) else pages[place:]
        assert [(one.payload, one.cursor) for one in rest] == [(one.payload, one.cursor) for one in expected]


@pytest.mark.parametrize(
    ("failure", "waited"),
    [
        pytest.param(too_many("7"), 7.0, id="429 with Retry-After"),
        pytest.param(too_many("0"), 1.0, id="429 that may be asked again at once"),
        pytest.param(failing(500), 1.0, id="500"),
        pytest.param(failing(503), 1.0, id="503"),
        pytest.param(cut(), 1.0, id="cut before any byte"),
        pytest.param(cut(20), 1.0, id="cut inside the body"),
        pytest.param(truncated(), 1.0, id="truncated body"),
        pytest.param(empty(), 1.0, id="no body"),
    ],
)
def test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page(case: Case, server: VendorServer, failure, waited):
    server.fail(*[None] * case.asked_first, failure)
    calls, waits = case.calls(server)
    with calls:
        found = case.read([next(case.vendor.pages(case.ask, None, calls))])
    assert found == case.rows[: len(found)] != ()
    assert waited in waits


def test_a_slow_answer_is_given_up_and_asked_for_again(case: Case, server: VendorServer):
    server.fail(*[None] * case.asked_first, slow(0.8))
    pages = case.fetched(server, patience=Patience(most_tries=4, first_wait=0.01, to_answer=0.4))
    assert case.read(pages) == case.rows


@each_client
def test_an_answer_that_trickles_is_given_up_though_no_byte_of_it_is_late(case: Case, server: VendorServer):
    server.fail(*[None] * case.asked_first, trickling(0.1))
    pages = case.fetched(server, patience=Patience(most_tries=4, first_wait=0.01, to_answer=0.4))
    assert case.read(pages) == case.rows
    assert len(server.requests) > case.asked_first + case.pages


def test_a_page_without_a_row_is_nothing_and_the_others_follow(case: Case, server: VendorServer):
    server.fail(*[None] * case.asked_first, instead(case.nothing))
    assert case.read(case.fetched(server)) == case.rows[len(case.rows) - case.left :]


def test_a_vendor_that_stays_away_is_one_clear_line_after_so_many_tries(case: Case, server: VendorServer):
    server.fail(*[failing(503)] * 4 * case.doors)
    with pytest.raises(VendorUnavailableError, match=f"expected {case.source} at .*status 503 after 4 tries"):
        case.fetched(server)
    assert len(server.requests) == 4 * case.doors


def test_an_answer_of_another_form_is_refused_and_never_read_as_nothing(case: Case, server: VendorServer):
    server.fail(*[None] * case.asked_first, *[changed(*case.renamed)] * 8)
    with pytest.raises((MissingColumnError, UnreadablePayloadError, VendorUnavailableError)) as refused:
        case.read(case.fetched(server))
    assert "expected" in str(refused.value)
    assert "\n" not in str(refused.value)


@keyed
def test_wrong_credentials_are_refused_at_once_and_never_shown(case: Case, server: VendorServer, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = replace(case, environ=case.environ | {name: f"wr0ng-{name}" for name in case.vendor.credentials})
    with pytest.raises(CredentialsError) as refused:
        wrong.fetched(server)
    assert len(server.requests) == 1
    assert all(name in str(refused.value) for name in case.vendor.credentials)
    assert "wr0ng" not in str(refused.value) + caplog.text


def test_who_is_not_let_in_is_told_so_at_once(case: Case, server: VendorServer):
    for status in (401, 403):
        server.forget()
        server.fail(*[None] * case.asked_first, *[refusing(status)] * case.doors)
        with pytest.raises(CredentialsError, match=f"{case.source} at .*: status {status}"):
            case.fetched(server)
        assert len(server.requests) == case.asked_first + case.doors


@keyed
def test_without_credentials_nothing_is_asked(case: Case, server: VendorServer):
    for name in case.vendor.credentials:
        without = replace(case, environ={other: value for other, value in case.environ.items() if other != name})
        with pytest.raises(InputError, match=f"expected {name} in the environment for {case.source}"):
            without.fetched(server)
    assert server.requests == []


@keyed
def test_credentials_are_in_headers_only(case: Case, server: VendorServer, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = [case.environ[name] for name in case.vendor.credentials]
    pages = case.fetched(server)
    server.fail(refusing(400, " ".join(secrets).encode()))
    with pytest.raises(InputError) as refused:
        case.fetched(server)
    calls, _ = case.calls(server)
    kept = "".join(f"{page.payload!r}{page.name}{page.cursor}{page.reader.as_dict()}" for page in pages)
    asked = "".join(f"{request.path}{request.query}" for request in server.requests)
    for secret in secrets:
        assert secret in str([request.headers for request in server.requests])
        assert secret not in kept + asked + str(refused.value) + caplog.text + repr(calls)


CONDITIONS = {
    "good pages": test_the_pages_hold_every_row_with_its_decimals_as_they_were_written,
    "429 with Retry-After": test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page,
    "5xx": test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page,
    "5xx every time": test_a_vendor_that_stays_away_is_one_clear_line_after_so_many_tries,
    "a cut connection": test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page,
    "an empty page": test_a_page_without_a_row_is_nothing_and_the_others_follow,
    "an answer without a body": test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page,
    "a changed field": test_an_answer_of_another_form_is_refused_and_never_read_as_nothing,
    "a truncated body": test_a_failure_that_passes_costs_a_wait_and_nothing_of_the_page,
    "a slow answer": test_a_slow_answer_is_given_up_and_asked_for_again,
    "who is not let in": test_who_is_not_let_in_is_told_so_at_once,
    "stopped after any page": test_a_fetch_goes_on_after_any_page,
}


def test_the_page_tells_of_every_condition_the_test_that_every_vendor_passes():
    """Each of them is run for every case (the fixture `case`), and there is a case for all that any vendor has."""
    offered = {(name, kind) for name in VENDORS for kind in vendor_named(name).kinds}
    assert offered == {(case.source.partition(":")[0], case.kind) for case in CASES}
    assert all({"case", "server"} <= inspect.signature(test).parameters.keys() for test in CONDITIONS.values())
    assert not [test for test in CONDITIONS.values() if getattr(test, "pytestmark", None) and _narrows(test)]
    _, _, told = (Path(__file__).parents[2] / "docs" / "vendors.md").read_text().partition("## How each is tested")
    assert [f"| {condition} | `{test.__name__}` |" for condition, test in CONDITIONS.items()] == [
        line for line in told.splitlines() if line.startswith("| ") and "`" in line
    ]
    assert ", ".join(f"`{case.name}`" for case in CASES) in told


def _narrows(test) -> bool:
    return any(mark.name == "parametrize" and "case" in str(mark.args[0]) for mark in test.pytestmark)

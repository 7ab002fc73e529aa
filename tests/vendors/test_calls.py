"""Requests to a vendor: what is tried again and how often, what is not, and what no message may say."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from vendor_server import (
    Reply,
    Request,
    VendorServer,
    calls_to,
    cut,
    failing,
    json_reply,
    refusing,
    slow,
    too_many,
    truncated,
)

from trading.adapters.sources.answers import Answer, retry_after
from trading.adapters.sources.calls import Calls, Patience
from trading.adapters.sources.pace import Pace
from trading.errors import CredentialsError, VendorRefusedError, VendorUnavailableError

GOOD = {"bars": [1.10, 2]}


def good(_: Request) -> Reply:
    return json_reply(GOOD)


def asked_with(*failures, secrets=None, patience=None):
    """Return the answer or the error, the waits, and how many requests were made."""
    with VendorServer(good) as server:
        server.fail(*failures)
        calls, waits = calls_to(server, secrets=secrets, patience=patience)
        with calls:
            try:
                found = calls.json("/v1/bars", {"apikey": "in-the-query"})
            except (VendorUnavailableError, VendorRefusedError, CredentialsError) as error:
                found = error
    return found, waits, len(server.requests)


@pytest.mark.parametrize(
    ("failure", "waited"),
    [
        pytest.param(too_many("7"), [7.0], id="429 with seconds"),
        pytest.param(too_many(None), [1.0], id="429 without"),
        pytest.param(failing(500), [1.0], id="500"),
        pytest.param(failing(503), [1.0], id="503"),
        pytest.param(cut(), [1.0], id="cut before any byte"),
        pytest.param(cut(5), [1.0], id="cut inside the body"),
        pytest.param(truncated(), [1.0], id="truncated JSON"),
    ],
)
def test_a_failure_that_passes_is_asked_again_once(failure, waited):
    found, waits, requests = asked_with(failure)
    assert (found.body, waits, requests) == (b'{"bars":[1.1,2]}', waited, 2)


def test_waits_double_up_to_the_longest_and_jitter_takes_up_to_half():
    found, waits, requests = asked_with(*[failing()] * 5, patience=Patience(most_tries=5, longest_wait=4, to_answer=2))
    assert isinstance(found, VendorUnavailableError)
    assert (waits, requests) == ([1, 2, 4, 4], 5)
    asked: list[tuple[float, float]] = []
    with VendorServer(good) as server:
        server.fail(failing(), failing())
        jitter = Calls(
            "jitter",
            server.url,
            100,
            pause=lambda _: None,
            jitter=lambda least, most: asked.append((least, most)) or least,
        )
        with jitter:
            jitter.json("/v1/bars")
    assert asked == [(0.5, 1.0), (1.0, 2.0)]


def test_an_answer_slower_than_allowed_is_cut_and_asked_again():
    found, waits, requests = asked_with(slow(0.6), patience=Patience(most_tries=2, to_answer=0.3))
    assert (found.status, waits, requests) == (200, [1.0], 2)


def test_waiting_is_bounded_even_where_the_vendor_asks_for_more():
    found, waits, requests = asked_with(too_many("3600"))
    assert isinstance(found, VendorUnavailableError)
    assert "found status 429 after 1 tries; run again in 3600 s" in str(found)
    assert (waits, requests) == ([], 1)


def test_nobody_there_is_one_clear_line():
    with VendorServer(good) as server:
        calls, _ = calls_to(server)
    with calls, pytest.raises(VendorUnavailableError, match=r"found a cut connection \(ConnectError\) after 4 tries"):
        calls.json("/v1/bars")


def test_redirections_without_an_end_are_one_clear_line():
    with VendorServer(lambda request: Reply(302, b"", {"Location": request.path})) as server:
        calls, _ = calls_to(server)
        with calls, pytest.raises(VendorUnavailableError, match=r"found a cut connection \(TooManyRedirects\)"):
            calls.attempt(lambda: calls.once(f"{server.url}/feed", follows=True), "/feed")


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, VendorRefusedError), (404, VendorRefusedError), (401, CredentialsError), (403, CredentialsError)],
)
def test_a_refusal_is_not_asked_again(status, error):
    found, waits, requests = asked_with(refusing(status))
    assert isinstance(found, error)
    assert (waits, requests) == ([], 1)


def test_no_message_holds_a_credential_or_the_query():
    echo = b'{"message":"key S3CRET is not known"}'
    found, _, _ = asked_with(refusing(401, echo), secrets={"TOY_KEY": "S3CRET"})
    assert "TOY_KEY" in str(found)
    assert "key *** is not known" in str(found)
    assert "S3CRET" not in str(found)
    assert "in-the-query" not in str(found)
    calls = Calls("toy", "http://127.0.0.1:1", 1, {"TOY_KEY": "S3CRET"})
    assert "S3CRET" not in repr(calls)


@pytest.mark.parametrize("said", ["S3CRET/KEY", "S3CRET%2FKEY"])
def test_no_part_of_a_credential_is_told_where_the_message_is_cut(said):
    found, _, _ = asked_with(refusing(400, f"{'x' * 194} {said}".encode()), secrets={"TOY_KEY": "S3CRET/KEY"})
    assert "x ***;" in str(found)
    assert "S3C" not in str(found)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120.0), (format_datetime(datetime(2026, 1, 5, 12, 2, tzinfo=UTC), usegmt=True), 120.0), ("soon", None)],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert retry_after(Answer(429, {"retry-after": text}, b""), now) == seconds
    assert retry_after(Answer(503, {"retry-after": text}, b""), now) == seconds
    assert retry_after(Answer(429, {"retry-after": "Mon, 05 Jan 2026 11:00:00 GMT"}, b""), now) == 0
    assert retry_after(Answer(404, {"retry-after": text}, b""), now) is None


def test_no_minute_has_more_requests_than_the_vendor_allows():
    clock, waits = [0.0], []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    pace = Pace(3, lambda: clock[0])
    sent = []
    for _ in range(10):
        pace.wait(pause)
        sent.append(clock[0])
        clock[0] += 5
    assert sent == [0, 5, 10, 60, 65, 70, 120, 125, 130, 180]
    assert all(later - earlier >= timedelta(minutes=1).seconds for earlier, later in zip(sent, sent[3:], strict=False))

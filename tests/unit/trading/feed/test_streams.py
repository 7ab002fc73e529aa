"""What the vendors' frames say: kept word for word, and read again as rows."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from websockets.sync.server import ServerConnection, serve

from trading.adapters.feeds.connection import Timeouts, linked
from trading.adapters.feeds.lines import parts_of_list, payload_of_lines
from trading.adapters.feeds.registry import stream_named
from trading.adapters.feeds.stream import Stream, Subscription
from trading.adapters.sources.answers import ConnectionCut
from trading.errors import CredentialsError, InputError, UnreadablePayloadError, VendorRefusedError
from trading.ingestion.candidates import parse
from trading.ingestion.reader import NEWEST_PARSER, Kind, Reader

ALPACA = stream_named("alpaca")
BARS, BOTH = Subscription(("SPY",), "1m"), Subscription(("SPY", "AAPL"), "1m", ("prices", "trades"))
# The example of docs.alpaca.markets, minutes of the regular session and before it.
SPY = '{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}'
EARLY = SPY.replace("19:15", "13:15")
TRADE = (
    '{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208478123Z","c":["@","I"],"z":"C"}'
)
FIXED = (
    '{"T":"c","S":"AAPL","x":"D","oi":96921,"op":126.55,"os":1,"oc":["@"],"ci":96922,"cp":126.65,"cs":2,"cc":["@"],'
    '"z":"C","t":"2021-02-22T15:51:45.1Z"}'
)
CANCEL = '{"T":"x","S":"AAPL","i":96922,"x":"D","p":126.65,"s":2,"a":"C","z":"C","t":"2021-02-22T15:52:00Z"}'


def rows(stream: Stream, kind: Kind, lines: list[str], **details: str) -> list[dict[str, object]]:
    reader = Reader(kind, stream.format, interval="1m", parser=NEWEST_PARSER[kind], details=details)
    parsed = parse(payload_of_lines(lines), reader)
    assert parsed.defects == []
    return [candidate.values for candidate in parsed.candidates]


def test_a_frame_is_cut_into_its_messages_without_changing_a_character():
    words = ['{"a": 1.10, "b":"x],[{\\u2028"}', '{"c":[1,{"d":2}]}']
    assert [line for _, line in parts_of_list(f"[ {words[0]} ,\n{words[1]}]")] == words
    for broken in ("[" + words[0], "[" + words[0][:-3], "{", ""):
        with pytest.raises(UnreadablePayloadError):
            parts_of_list(broken)


def test_alpacas_bars_of_the_session_are_messages_in_their_own_words():
    (message,) = ALPACA.read(f"[{SPY},{EARLY}]", BARS)
    assert (message.symbol, message.timestamp, message.line) == ("SPY", datetime(2021, 2, 22, 19, 15, tzinfo=UTC), SPY)
    update = SPY.replace('"b"', '"u"')
    (corrected,) = ALPACA.read(f"[{update}]", BARS)
    assert corrected.corrects
    assert corrected.key == message.key
    (values,) = rows(ALPACA, "prices", [SPY])
    assert (values["open"], values["volume"]) == (Decimal("388.985000"), Decimal("49378.00000000"))


def test_alpacas_bars_of_the_evening_of_a_half_day_are_none():
    last, after = (SPY.replace("2021-02-22T19:15", f"2024-11-29T{time}") for time in ("17:59", "18:00"))
    holiday = SPY.replace("2021-02-22", "2024-11-28")
    assert [one.line for one in ALPACA.read(f"[{last},{after},{holiday}]", BARS)] == [last]


PAGE_OF_TRADES = (
    '{"trades":{"AAPL":[{"t":"2021-02-22T15:51:44.208478123Z","x":"D","p":126.55,"s":1,"c":["@","I"],"i":96921,"z":"C"},'
    '{"t":"2021-02-22T15:51:46Z","x":"V","p":126.6,"s":5,"c":["@"],"i":7,"z":"C","u":"canceled"}]},"next_page_token":null}'
)


def test_trades_by_pages_are_those_of_the_stream():
    reader = Reader("trades", "alpaca.trades", interval="1m", parser=NEWEST_PARSER["trades"], details={"feed": "iex"})
    paged, canceled = [one.values for one in parse(PAGE_OF_TRADES.encode(), reader).candidates]
    (streamed,) = rows(ALPACA, "trades", [TRADE])
    assert paged == streamed
    assert (canceled["trade_id"], canceled["size"]) == ("2021-02-22-V-7", Decimal(0))
    binance = stream_named("ccxt:binance")
    told = '{"e":"trade","s":"BTCUSDT","t":28457,"p":"4.00000100","q":"12.00000000","T":1499865549590,"m":true}'
    page = (
        '[{"id":28456,"price":"4.1","qty":"1","time":1499865549589,"isBuyerMaker":false},'
        '{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true}]'
    )
    details = {"exchange": "binance", "symbol": "BTC/USDT", "since": "1499865549590"}
    reader = Reader("trades", "ccxt.trades", interval="1m", parser=NEWEST_PARSER["trades"], details=details)
    (paged,) = [one.values for one in parse(page.encode(), reader).candidates]
    (streamed,) = rows(binance, "trades", [told], exchange="binance", pairs="BTC/USDT")
    assert paged == streamed


def test_alpacas_corrections_withdraw_the_first_print_and_cancels_the_second():
    found = rows(ALPACA, "trades", [TRADE, FIXED, CANCEL])
    assert [(one["trade_id"], one["price"], one["size"]) for one in found] == [
        ("2021-02-22-D-96921", Decimal("126.55"), Decimal(1)),
        ("2021-02-22-D-96921", Decimal("126.55"), Decimal(0)),
        ("2021-02-22-D-96922", Decimal("126.65"), Decimal(2)),
        ("2021-02-22-D-96922", Decimal("126.65"), Decimal(0)),
    ]
    assert found[0]["timestamp"] == datetime(2021, 2, 22, 15, 51, 44, 208478, tzinfo=UTC)
    assert [message.corrects for message in ALPACA.read(f"[{TRADE},{FIXED},{CANCEL}]", BOTH)] == [False, True, True]
    assert ALPACA.read(f"[{TRADE}]", BARS) == []


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        *((code, CredentialsError) for code in (402, 408, 409)),
        *((code, VendorRefusedError) for code in (400, 403, 405, 410)),
        *((code, ConnectionCut) for code in (401, 404, 406, 407, 500)),
    ],
)
def test_alpacas_errors_end_the_feed_or_the_connection(code: int, meaning: type[Exception]):
    with pytest.raises(meaning, match=f"{code} no"):
        ALPACA.read(json.dumps([{"T": "error", "code": code, "msg": "no"}]), BARS)


def test_a_message_of_another_form_is_one_clear_line():
    with pytest.raises(UnreadablePayloadError, match="documented form"):
        ALPACA.read('[{"T":"b","S":"SPY"}]', BARS)


KLINE = {
    "e": "kline", "E": 1638747660000, "s": "BTCUSDT",
    "k": {"t": 1638747600000, "T": 1638747659999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": "0.0010", "c": "0.0020",
          "h": "0.0025", "l": "0.0010", "v": "1000", "n": 100, "x": True, "q": "1.0000", "V": "500", "Q": "0.500", "B": "1"},
}  # fmt: skip


def test_binances_candles_count_once_they_are_closed():
    binance, wanted = stream_named("ccxt:binance"), Subscription(("BTC/USDT",), "1m", ("prices", "trades"))
    frame = json.dumps({"stream": "btcusdt@kline_1m", "data": KLINE})
    (message,) = binance.read(frame, wanted)
    assert (message.symbol, message.line) == ("BTC/USDT", frame)
    assert binance.read(frame.replace('"x": true', '"x": false'), wanted) == []
    (values,) = rows(binance, "prices", [frame], **binance.details(["BTC/USDT"]))
    assert (values["symbol"], values["timestamp"]) == ("BTC/USDT", datetime(2021, 12, 5, 23, 40, tzinfo=UTC))
    assert (values["high"], values["volume"]) == (Decimal("0.002500"), Decimal(1000))
    trade = '{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}'
    (print_,) = binance.read(trade, wanted)
    assert print_.sequence == 12345
    (values,) = rows(binance, "trades", [trade], **binance.details(["BTC/USDT"]))
    assert (values["trade_id"], values["side"], values["size"]) == ("12345", "sell", Decimal(100))


def test_a_stream_says_what_it_does_not_tell():
    with pytest.raises(InputError, match="expected an interval of 1m"):
        ALPACA.refuse_unless_offered(Subscription(("SPY",), "1d"))
    with pytest.raises(InputError, match="a vendor with a stream"):
        stream_named("yfinance")
    assert ALPACA.address({"TRADELOOM_ALPACA_STREAM_URL": "ws://127.0.0.1:1/x"}) == "ws://127.0.0.1:1/x"


def test_bytes_that_are_no_text_are_a_frame_that_the_reader_refuses():
    def tell(socket: ServerConnection) -> None:
        socket.send(b"\xff\xfe no text")
        socket.send(b"[1]")

    with serve(tell, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with linked(f"ws://127.0.0.1:{port}", Timeouts()) as link:
            frames = [link.hear(), link.hear()]
        server.shutdown()
    assert frames[1] == "[1]"
    with pytest.raises(UnreadablePayloadError):
        stream_named("ccxt:binance").read(frames[0], Subscription(("BTC/USDT",), "1m"))

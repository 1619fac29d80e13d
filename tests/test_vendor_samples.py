"""The requests of the vendor's HTTP samples (Python, Java, Go, PHP) and pages, with another host: the sandbox answers.

Sent byte for byte as the samples' libraries send them. The samples of 2024 to 2026 in the vendor's repositories and
documentation site are of these shapes; they are written down here anew, not copied.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alltick_frames.sandbox import Sandbox

STOCK, QUOTE = "/quote-stock-b-api", "/quote-b-api"
ANY = {"Accept": "*/*"}
JSON = {"Content-Type": "application/json", **ANY}


def ask(
    server: Sandbox, target: str, headers: Mapping[str, str] = ANY, method: str = "GET", body: bytes | None = None
) -> tuple[int, Any]:
    """Send a request line as it is, and read the answer as JSON where it is some."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    connection.request(method, target.replace("TOKEN", server.token), body, dict(headers))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = (response.getheader("Content-Type") or "").startswith("application/json")
    return response.status, json.loads(content) if is_json else content


def asking(code: str, count: int, number: int = 1) -> dict[str, Any]:
    return {
        "code": code,
        "kline_type": number,
        "kline_timestamp_end": 0,
        "query_kline_num": count,
        "adjust_type": 0,
    }


def envelope(trace: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"trace": trace, "data": data}


def spaced(trace: str, data: dict[str, Any]) -> str:
    """Write JSON as the Python and Java samples do: spaces on both sides of most colons, none after commas."""
    return json.dumps(envelope(trace, data), separators=(",", " : "))


def compact(trace: str, data: dict[str, Any]) -> str:
    return json.dumps(envelope(trace, data), separators=(",", ":"))


# HttpURLConnection sends this Accept unless told otherwise; Go and cURL send none and */*.
JAVA = {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "User-Agent": "Java/17.0.15"}
LONG_TRACE = "0d5f6f5e-7d2c-4f0c-9b1e-5a8f1f7f3c2d-1678419657806"

SAMPLES = [
    pytest.param(
        f"{STOCK}/kline?token=TOKEN&query={quote(spaced('python_http_test1', asking('700.HK', 2)), safe='')}",
        JSON,
        id="python",
    ),
    pytest.param(
        f"{STOCK}/kline?token=TOKEN&query={quote(spaced('java_http_test1', asking('700.HK', 2)), safe='')}",
        JAVA,
        id="java",
    ),
    pytest.param(
        # url.Values sorts its keys and escapes as forms do.
        f"{STOCK}/kline?query={quote_plus(compact('1' * 25, asking('AAPL.US', 10)))}&token=TOKEN",
        {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"},
        id="go",
    ),
    pytest.param(
        f"{STOCK}/kline?token=TOKEN&query={quote(compact('1' * 25, asking('AAPL.US', 10)), safe='')}", ANY, id="php"
    ),
    pytest.param(
        f"{STOCK}/kline?token=TOKEN&query={quote(json.dumps(envelope(LONG_TRACE, asking('857.HK', 2)), indent=2))}",
        ANY,
        id="page, indented",
    ),
    pytest.param(
        f"{QUOTE}/kline?{urlencode({'token': 'TOKEN', 'query': json.dumps(envelope('t', asking('EURUSD', 2, 8)))})}",
        ANY,
        id="form encoding, spaces as +",
    ),
    pytest.param(
        f"{QUOTE}/kline?token=TOKEN&query={quote(compact('t', asking('BTCUSDT', 2, 7)), safe='{}:,')}",
        ANY,
        id="brackets and colons not encoded",
    ),
]


@pytest.mark.parametrize(("target", "headers"), SAMPLES)
def test_a_sample_is_answered_when_only_its_host_is_changed(
    server: Sandbox, target: str, headers: dict[str, str]
) -> None:
    status, answer = ask(server, target, headers)
    assert (status, answer["ret"], answer["msg"]) == (200, 200, "ok")
    (logged,) = server.requests()
    assert answer["trace"] == logged["trace"]
    assert answer["data"].keys() == {"code", "kline_type", "kline_list"}
    assert (answer["data"]["code"], len(answer["data"]["kline_list"])) == (logged["code"], logged["num"])
    names = {"timestamp", "open_price", "close_price", "high_price", "low_price", "volume", "turnover"}
    for bar in answer["data"]["kline_list"]:
        assert bar.keys() == names
        assert all(isinstance(value, str) for value in bar.values())


def test_the_samples_own_token_is_refused(server: Sandbox) -> None:
    query = quote(compact("t", asking("700.HK", 2)))
    status, answer = ask(server, f"{STOCK}/kline?token=testtoken&query={query}")
    assert (status, answer) == (401, {"msg": "token invalid", "trace": "", "ret": 401})


# The `rest_*` samples of the vendor's second repository, AllTick-Official; the protocol has the token in no header
# (section 2) and no version in a path (section 1.1). Answered as a request without a token is.
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"/v1/kline/{quote(compact('t', asking('700.HK', 2)), safe='')}"), ("POST", "/v1/depth")],
)
def test_a_token_in_a_header_is_none(server: Sandbox, method: str, path: str) -> None:
    body = compact("t", {"symbol_list": [{"code": "700.HK"}]}).encode() if method == "POST" else None
    status, answer = ask(server, STOCK + path, {"X-API-Key": server.token, **JSON}, method, body)
    assert (status, answer) == (401, {"msg": "token is required", "ret": 401})


def test_integers_sent_as_text_are_refused_as_the_pages_have_it(server: Sandbox) -> None:
    """A PHP sample of 2024 sent them so; the pages of today say integer (section 3.1)."""
    data = {name: value if name == "code" else str(value) for name, value in asking("700.HK", 1, 8).items()}
    status, answer = ask(server, f"{STOCK}/kline?token=TOKEN&query={quote(compact('t', data))}")
    assert (status, answer["ret"], answer["trace"]) == (200, 400, "t")


SYMBOLS = {"symbol_list": [{"code": "700.HK"}, {"code": "UNH.US"}]}


@pytest.mark.parametrize(
    ("endpoint", "listed", "name"),
    [
        ("depth-tick", "tick_list", "code"),
        ("trade-tick", "tick_list", "code"),
        ("static_info", "static_info_list", "symbol"),
    ],
)
def test_a_sample_of_codes_is_answered(server: Sandbox, endpoint: str, listed: str, name: str) -> None:
    query = quote(spaced("python_http_test2", SYMBOLS), safe="")
    status, answer = ask(server, f"{STOCK}/{endpoint}?token=TOKEN&query={query}", JSON)
    assert (status, answer["ret"], answer["trace"]) == (200, 200, "python_http_test2")
    assert [row[name] for row in answer["data"][listed]] == ["700.HK", "UNH.US"]


def test_the_page_of_batch_kline_is_answered(server: Sandbox) -> None:
    data = {"data_list": [asking("700.HK", 1), asking("GOOGL.US", 1)]}
    body = json.dumps(envelope("py_http_test1", data), indent=2).encode()
    status, answer = ask(server, f"{STOCK}/batch-kline?token=TOKEN", JSON, "POST", body)
    assert (status, answer["ret"], len(answer["data"]["kline_list"])) == (200, 200, 2)

"""The token is nowhere but in the request, and the request nowhere but with the service."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import logging
import os
import pickle
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
import tenacity
import trustme

import alltick_frames as at
from alltick_frames import fetch
from alltick_frames.clocks import utc_now
from alltick_frames.ledger import ledger_for
from alltick_frames.plans import plan_named
from alltick_frames.sandbox.faults import FAULTS
from alltick_frames.settings import Token
from alltick_frames.transport import Transport
from alltick_frames.wire import KlineRequest

from .leaks import FORMS, TOKEN, everything_a_traceback_shows, holds_token

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")

KILLED = """
import alltick_frames as at
at.get_kline(["EURUSD", "BTCUSDT"], "1m", "2026-01-01/2026-03-13", progress=False)
"""
CELLS = (
    "import alltick_frames as at\nclient = at.Client()\nclient",
    "client.estimate_kline('BTCUSDT', '1m', '1y')",
    "client.get_kline('EURUSD', '1m', '5d', progress=True)",
    "client.get_kline('EURUSD', '1m', '2026-03-06/2026-03-02')",
    "client.get_kline('NOSUCHCODE', '1h', '1d')",
    "%debug\nclient.settings",
    "%xmode Verbose\nat.Client(base_url='http://127.0.0.1:9', plan='gold')",
)
NOTEBOOK = """
import json, sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in json.loads(sys.argv[1])])
NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
nbformat.write(notebook, sys.argv[2])
"""
ALLTICK = (sys.executable, "-m", "alltick_frames.cli")
QUESTION = ("EURUSD", "-p", "1h", "-r", "2026-03-02/2026-03-06")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run everything, each with all it could write to in one directory."""
    directory = tmp_path_factory.mktemp("artefacts")
    with at.sandbox.running(token=TOKEN, clock="2026-03-18T15:00:30Z", frozen=True, limits=False) as server:
        environment = environment_in(directory, server)
        run_everything(directory, environment)
        kill(directory, environment, server)
        run_commands(directory, environment, tmp_path_factory.mktemp("elsewhere"))
        run(directory, environment, "notebook", sys.executable, "-c", NOTEBOOK, json.dumps(CELLS), "x.ipynb")
        yield directory


def environment_in(directory: Path, server: at.sandbox.Sandbox) -> dict[str, str]:
    own = {"ALLTICK_CACHE_DIR": "archive", "ALLTICK_STATE_DIR": "state", "HOME": "home", "TMPDIR": "tmp"}
    own |= {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "xstate", "IPYTHONDIR": "ipython"}
    for name in own.values():
        (directory / name).mkdir()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALLTICK_")},
        **{name: str(directory / value) for name, value in own.items()},
        "ALLTICK_BASE_URL": server.url,
        "ALLTICK_TOKEN": server.token,
        "ALLTICK_PLAN": "professional",
        "PYTHONPATH": str(ROOT),
        "PYTHONASYNCIODEBUG": "1",
        "COLUMNS": "200",
    }


def run(directory: Path, environment: dict[str, str], name: str, *command: str) -> int:
    with (directory / f"{name}.out").open("wb") as out:
        done = subprocess.run(command, env=environment, cwd=directory, stdout=out, stderr=out, timeout=300, check=False)
    return done.returncode


def run_everything(directory: Path, environment: dict[str, str]) -> None:
    command = (sys.executable, "-X", "dev", "-W", "ignore", "-m", "tests.everything", str(directory))
    assert run(directory, environment, "everything", *command) == 0, (directory / "everything.out").read_text()


def kill(directory: Path, environment: dict[str, str], server: at.sandbox.Sandbox) -> None:
    server.reset()
    with (directory / "killed.out").open("wb") as out:
        child = subprocess.Popen([sys.executable, "-c", KILLED], env=environment, cwd=directory, stderr=out)
        while server.counters()["requests"] < 3 and child.poll() is None:
            time.sleep(0.01)
        if Path("/proc").is_dir():
            (directory / "cmdline").write_bytes(Path(f"/proc/{child.pid}/cmdline").read_bytes())
        child.send_signal(signal.SIGKILL)
        child.wait()


def run_commands(directory: Path, environment: dict[str, str], elsewhere: Path) -> None:
    file = elsewhere / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    by_file = {name: value for name, value in environment.items() if name != "ALLTICK_TOKEN"}
    wrong = {"ALLTICK_TOKEN": f"{TOKEN}x", "ALLTICK_CACHE_DIR": str(directory / "another archive")}
    for name, expected, more, arguments in (
        ("get", 0, {}, ("get", *QUESTION)),
        ("get to a file", 0, {}, ("get", *QUESTION, "-o", "frame.csv")),
        ("estimate", 0, {}, ("estimate", *QUESTION)),
        ("coverage", 0, {}, ("coverage",)),
        ("cache info", 0, {}, ("cache", "info")),
        ("help", 0, {}, ("--help",)),
        ("by file", 0, {"ALLTICK_TOKEN_FILE": str(file)}, ("get", *QUESTION)),
        ("usage", 2, {}, ("get", "00700.HK", *QUESTION[1:])),
        ("incomplete", 3, {}, ("get", "700.HK", "-p", "1m", "-r", "2024-01-01/2024-01-31")),
        ("budget", 4, {}, ("get", "GOLD", "-p", "1m", "-r", "30d", "--max-wait", "0")),
        ("authentication", 5, wrong, ("get", *QUESTION)),
        ("unknown", 6, {}, ("get", "NOSUCHCODE", *QUESTION[1:])),
        ("crash", 1, {}, ("get", *QUESTION, "-o", "/proc/frame.csv")),
    ):
        own = {**(by_file if "ALLTICK_TOKEN_FILE" in more else environment), **more}
        assert run(directory, own, name, *ALLTICK, *arguments) == expected, name


class TestEverythingThatIsLeft:
    def test_holds_no_token(self, directory: Path) -> None:
        leaks = [
            (str(path.relative_to(directory)), name)
            for path in directory.rglob("*")
            if path.is_file()
            for name, form in FORMS.items()
            if form in path.read_bytes() or form in str(path).encode()
        ]
        assert leaks == []

    def test_is_all_there(self, directory: Path) -> None:
        log = (directory / "log.txt").read_text()
        for said in ("send_request_headers", "httpcore.http11", "asyncio", "py.warnings"):
            assert said in log
        assert {path.stem for path in (directory / "errors").iterdir()} > set(FAULTS)
        for error in (directory / "errors").iterdir():
            assert "Traceback" in error.read_text()
        assert "get_kline" in (directory / "errors" / "drop.txt").read_text()  # locals and code of our frames
        assert "Traceback" in (directory / "crash.out").read_text()
        assert "Token(***)" in (directory / "shown.txt").read_text()
        assert "Current thread" in (directory / "threads.txt").read_text()
        assert "%|" in (directory / "progress.txt").read_text()
        notebook = json.loads((directory / "x.ipynb").read_text())
        kinds = {output["output_type"] for cell in notebook["cells"] for output in cell["outputs"]}
        assert kinds >= {"error", "execute_result", "stream"}
        for pattern in ("archive/**/cache.db", "archive/**/*.arrow", "state/*.sqlite3", "frame.*", "*.out", "cmdline"):
            if pattern != "cmdline" or Path("/proc").is_dir():
                assert [path for path in directory.glob(pattern) if path.stat().st_size], pattern

    @pytest.mark.parametrize("form", FORMS)
    def test_would_show_one(self, form: str) -> None:
        assert holds_token(b"\0\xff" + FORMS[form] + b"\n")

    @pytest.mark.parametrize("before", [b"", b"token=", b"a:"])
    def test_would_show_one_in_a_longer_base64(self, before: bytes) -> None:
        assert holds_token(base64.b64encode(before + TOKEN.encode() + b"&query="))

    def test_would_show_one_in_a_local(self) -> None:
        def careless(url: str) -> None:
            raise RuntimeError(len(url))

        with pytest.raises(RuntimeError) as caught:
            careless(f"https://quote.example/?token={quote(TOKEN, safe='')}")
        assert holds_token(everything_a_traceback_shows(caught.value))


def test_whatever_the_http_library_raises_is_raised_without_its_frames() -> None:
    class Breaking(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            url = str(request.url)  # a local that holds the token, as httpx's own frames do
            raise self.error from RuntimeError(url)

        error: BaseException = httpx.ReadError("gone")

    async def send(transport: Transport) -> None:
        await transport.send(KlineRequest("EURUSD", at.Period("1h")), await transport.turn(), utc_now)

    kinds: list[BaseException] = [
        httpx.ReadError("gone"),
        httpx.ConnectTimeout("slow"),
        OSError("no route"),
        RuntimeError("a bug of the library"),
        asyncio.CancelledError("stopped"),
    ]
    for kind in kinds:
        breaking = Breaking()
        breaking.error = kind
        ledger = ledger_for("breaking", plan_named("professional"))
        transport = Transport("https://quote.example", Token(TOKEN), ledger, breaking)
        with pytest.raises((at.TransportError, RuntimeError, asyncio.CancelledError)) as caught:
            asyncio.run(send(transport))
        assert not holds_token(everything_a_traceback_shows(caught.value)), kind


def test_a_token_is_never_pickled() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Token(TOKEN))


@pytest.mark.parametrize("make", [at.Client, at.AsyncClient, at.configure], ids=lambda make: make.__name__)
def test_a_setting_refused_beside_it_does_not_show_it(make: Any) -> None:
    with pytest.raises(at.ConfigError, match="plan='gold'") as caught:
        make(token=Token(TOKEN).reveal(), plan="gold")
    assert not holds_token(everything_a_traceback_shows(caught.value))


def test_a_half_made_client_can_be_shown() -> None:
    assert repr(at.Client.__new__(at.Client)) == "Client(not initialised)"
    assert repr(at.AsyncClient.__new__(at.AsyncClient)) == "AsyncClient(not initialised)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601], ids=oct)
@pytest.mark.parametrize("through", ["token", "link"])
def test_a_token_file_that_others_may_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, through: str
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    (tmp_path / "link").symlink_to(file)
    monkeypatch.setenv("ALLTICK_TOKEN_FILE", str(tmp_path / through))
    with pytest.raises(at.ConfigError, match="may be read by others; run: chmod 600") as caught:
        at.Client()
    assert not holds_token(everything_a_traceback_shows(caught.value))
    file.chmod(0o600)
    assert at.Client().settings.token == Token(TOKEN)


class Listener:
    """A server on loopback that answers everything alike, and remembers what it was asked for."""

    def __init__(self, status: int = 200, location: str = "", tls: ssl.SSLContext | None = None) -> None:
        asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.send_header("location", location)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up on a bad certificate
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port

    @contextmanager
    def running(self) -> Iterator[Listener]:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()


def client_of(base_url: str, directory: Path) -> at.Client:
    return at.Client(TOKEN, plan="professional", base_url=base_url, cache_dir=directory)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:{port}/", "http://localhost:{port}/", "file:///etc/passwd", "/x"]
)
def test_a_redirect_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, target: str) -> None:
    caplog.set_level(logging.DEBUG)
    with Listener().running() as elsewhere:
        location = f"{target.format(port=elsewhere.port)}?token={quote(TOKEN, safe='')}"
        with (
            Listener(status, location).running() as server,
            client_of(f"http://127.0.0.1:{server.port}", tmp_path) as client,
            pytest.raises(at.TransportError, match=rf"redirect \(HTTP {status}\), which is refused") as caught,
        ):
            client.get_kline(*CALL)
        assert (len(server.asked), elsewhere.asked) == (1, [])
    assert holds_token(server.asked[0])  # the one place where it belongs
    assert "location" in caplog.text.lower()
    assert not holds_token(caplog.text)
    assert caught.tb.tb_next is not None
    # Without the frame of this test, which knows the location.
    assert not holds_token(everything_a_traceback_shows(caught.value.with_traceback(caught.tb.tb_next)))


class TestCertificates:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @contextmanager
    def serving(self, certificate: trustme.LeafCert) -> Iterator[Listener]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(tls)
        with Listener(tls=tls).running() as server:
            yield server

    def trust(self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    def refused(self, server: Listener, tmp_path: Path) -> str:
        with (
            client_of(f"https://localhost:{server.port}", tmp_path / "archive") as client,
            pytest.raises(at.TransportError) as caught,
        ):
            client.get_kline(*CALL)
        assert server.asked == []
        assert not caught.value.transient
        assert not holds_token(everything_a_traceback_shows(caught.value))
        return str(caught.value)

    def test_that_nobody_trusts_are_refused(self, authority: trustme.CA, tmp_path: Path) -> None:
        with self.serving(authority.issue_cert("localhost")) as server:
            assert "CERTIFICATE_VERIFY_FAILED" in self.refused(server, tmp_path)

    def test_of_another_host_are_refused(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.trust(authority, tmp_path, monkeypatch)
        with self.serving(authority.issue_cert("quote.example")) as server:
            assert "Hostname mismatch" in self.refused(server, tmp_path)

    def test_that_have_expired_are_refused(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.trust(authority, tmp_path, monkeypatch)
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = authority.issue_cert("localhost", not_before=yesterday - timedelta(days=9), not_after=yesterday)
        with self.serving(expired) as server:
            assert "certificate has expired" in self.refused(server, tmp_path)

    @pytest.mark.parametrize("variable", ["PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_NO_VERIFY"])
    def test_are_verified_whatever_the_environment_says(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, "0")
        with self.serving(authority.issue_cert("localhost")) as server:
            assert "CERTIFICATE_VERIFY_FAILED" in self.refused(server, tmp_path)

    def test_that_are_trusted_are_taken(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.trust(authority, tmp_path, monkeypatch)
        monkeypatch.setattr(fetch, "_BACK_OFF", tenacity.wait_none())
        with (
            self.serving(authority.issue_cert("localhost")) as server,
            client_of(f"https://localhost:{server.port}", tmp_path / "archive") as client,
            # It answers nothing; but it is asked.
            pytest.raises(at.DecodeError),
        ):
            client.get_kline(*CALL)
        assert holds_token(server.asked[0])

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
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

import httpx
import pytest
import tenacity
import trustme

import alltick_frames as at
from alltick_frames import attempts
from alltick_frames.clocks import utc_now
from alltick_frames.ledger import ledger_for
from alltick_frames.plans import plan_named
from alltick_frames.sandbox.faults import FAULTS
from alltick_frames.settings import Token
from alltick_frames.transport import Transport
from alltick_frames.wire import KlineRequest

from .leaks import FORMS, TOKEN, everything_a_traceback_shows, holds_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent
CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")

KILLED = """
import faulthandler, signal
import alltick_frames as at
faulthandler.register(signal.SIGUSR1)
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
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run everything, each with all it could write to in one directory."""
    directory = tmp_path_factory.mktemp("artefacts")
    sandbox: dict[str, Any] = {"token": TOKEN, "clock": "2026-03-18T15:00:30Z", "frozen": True, "limits": False}
    # Both at a time, and so two sandboxes: one of them has faults.
    with at.sandbox.running(**sandbox) as server, at.sandbox.running(**sandbox) as faulty, ThreadPoolExecutor() as pool:
        environment = environment_in(directory, server)
        everything = pool.submit(run_everything, directory, {**environment, "ALLTICK_BASE_URL": faulty.url})
        kill(directory, environment, server)
        run_commands(directory, environment, tmp_path_factory.mktemp("elsewhere"))
        run(directory, environment, "notebook", sys.executable, "-c", NOTEBOOK, json.dumps(CELLS), "x.ipynb")
        everything.result()
    return directory


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
        child.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 10
        while b"most recent call first" not in (directory / "killed.out").read_bytes() and time.monotonic() < until:
            time.sleep(0.01)
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
        ("gaps", 0, {}, ("gaps",)),
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
        files = {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        leaks = [
            (str(path), name)
            for path, content in files.items()
            for name, form in FORMS.items()
            if form in content or form in str(path).encode()
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
        assert "most recent call first" in (directory / "killed.out").read_text()
        assert "Token(***)" in (directory / "shown.txt").read_text()
        assert "Current thread" in (directory / "threads.txt").read_text()
        assert "%|" in (directory / "progress.txt").read_text()
        notebook = json.loads((directory / "x.ipynb").read_text())
        kinds = {output["output_type"] for cell in notebook["cells"] for output in cell["outputs"]}
        assert kinds >= {"error", "execute_result", "stream"}
        kept = ("archive/**/cache.db", "archive/**/*.arrow", "archive/**/*.sheet")
        for pattern in (*kept, "state/*.sqlite3", "frame.*", "*.out", "cmdline"):
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
        await transport.send(KlineRequest("EURUSD", at.Period("1h")), await transport.turn("kline"), utc_now)

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


@pytest.mark.parametrize(
    "spoil",
    [
        str.encode,
        lambda text: [text],
        lambda text: SimpleNamespace(text=text),
        lambda text: f"{text}\udcff",
        lambda text: f"{text}\n{text}",
        lambda text: f"{text}\u200b",
    ],
    ids=["bytes", "list", "object", "no UTF-8", "two lines", "invisible"],
)
@pytest.mark.parametrize("make", [at.Client, at.AsyncClient, at.configure], ids=lambda make: make.__name__)
def test_what_can_be_no_token_is_refused_and_not_shown(make: Any, spoil: Any) -> None:
    with pytest.raises(at.ConfigError, match="the token is not a str of printable ASCII") as caught:
        make(token=spoil(TOKEN))
    assert not holds_token(everything_a_traceback_shows(caught.value))


@pytest.mark.skipif(not os.supports_bytes_environ, reason="the environment is text on this system")
def test_a_token_in_the_environment_that_is_no_text_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_TOKEN", os.fsdecode(TOKEN.encode() + b"\xff"))
    with pytest.raises(at.ConfigError, match="the token is not a str of printable ASCII") as caught:
        at.Client()
    assert not holds_token(shown_of(caught))


def process_with(argument: str) -> Path:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended
            if argument.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                return process
    raise LookupError(argument)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc on this system")
def test_the_sandbox_does_not_inherit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLTICK_TOKEN", TOKEN)
    with at.sandbox.running(token="the sandbox's own"):
        environment = (process_with("the sandbox's own") / "environ").read_bytes()
    assert b"PYTHONPATH=" in environment
    assert not holds_token(environment)


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


class Sent(NamedTuple):
    """What a server answers; without a status, *body* alone."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Listener:
    """A server on loopback that counts connections, and remembers what it was asked for."""

    def __init__(self, answer: Callable[[str], Sent] = lambda _: Sent(), tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.connections = 0
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked.append(self.path)
                status, headers, body = answer(self.path)
                if not status:
                    self.wfile.write(body)
                    return
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_CONNECT(self) -> None:
                listener.asked.append(f"{self.path} {self.headers}")
                host, port = self.path.split(":")
                with socket.create_connection((host, int(port))) as there:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=pass_on, args=(there, self.connection))
                    back.start()
                    pass_on(self.connection, there)
                    back.join()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[socket.socket, Any]:
                listener.connections += 1
                return super().get_request()  # where a handshake fails

        self.server = Server(("127.0.0.1", 0), Handler)
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


def pass_on(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while content := here.recv(1 << 16):
            there.sendall(content)
        there.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["https://127.0.0.1:{port}/", "http://localhost:{port}/", "file:///etc/passwd", "/x"]
)
def test_a_redirect_is_not_followed(tmp_path: Path, status: int, target: str) -> None:
    with Listener().running() as elsewhere:
        location = f"{target.format(port=elsewhere.port)}?token={quote(TOKEN, safe='')}"
        with (
            Listener(lambda _: Sent(status, {"location": location})).running() as server,
            client_of(f"http://127.0.0.1:{server.port}", tmp_path) as client,
            pytest.raises(at.TransportError, match=rf"redirect \(HTTP {status}\), which is refused") as caught,
        ):
            client.get_kline(*CALL)
        assert (len(server.asked), elsewhere.connections) == (1, 0)
    assert holds_token(server.asked[0])  # the one place where it belongs
    assert not holds_token(shown_of(caught))


def shown_of(caught: pytest.ExceptionInfo[BaseException]) -> str:
    """Give what the traceback shows below the frame of the test, which knows what the server sends."""
    assert caught.tb.tb_next is not None
    return everything_a_traceback_shows(caught.value.with_traceback(caught.tb.tb_next))


ECHOES: dict[str, Callable[[str], Sent]] = {
    "location": lambda path: Sent(302, {"location": path}),
    "portal": lambda path: Sent(302, {"location": f"http://portal.example/?from={quote(path, safe='')}"}),
    "portal in base64": lambda path: Sent(
        302, {"location": f"http://portal.example/?from={base64.b64encode(path.encode()).decode()}"}
    ),
    "cookie": lambda path: Sent(403, {"set-cookie": f"from={quote(path, safe='')}"}),
    "no HTTP": lambda path: Sent(0, body=f"-ERR unknown command GET {path}\r\n\r\n".encode()),
    "page": lambda path: Sent(403, body=f"<p>You may not see {path}".encode()),
    "page with a link": lambda path: Sent(403, body=f"<a href='/log-in?from={quote(path, safe='')}'>".encode()),
    "message": lambda path: Sent(body=json.dumps({"ret": 402, "msg": f"query invalid: {unquote(path)}"}).encode()),
    "another code": lambda path: Sent(
        body=json.dumps({"ret": 200, "data": {"code": unquote(path), "kline_list": []}}).encode()
    ),
    "a price": lambda path: Sent(
        body=json.dumps({"ret": 200, "data": {"kline_list": [{"timestamp": 1, "open_price": path}]}}).encode()
    ),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_server_that_sends_it_back_does_not_show_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
    with (
        Listener(ECHOES[name]).running() as server,
        client_of(f"http://127.0.0.1:{server.port}", tmp_path) as client,
        pytest.raises(at.AllTickError) as caught,
    ):
        client.get_kline(*CALL)
    assert holds_token(server.asked[0])
    if name == "no HTTP":
        assert "receive_response_headers.failed exception=RemoteProtocolError, …" in caplog.text
        assert "illegal status line" in str(caught.value)
    else:
        assert "receive_response_headers.complete return_value=(b'HTTP/1.0', " in caplog.text
    assert not holds_token(caplog.text)
    assert not holds_token(shown_of(caught))
    assert not any(holds_token(path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())


def test_other_users_of_the_http_library_see_their_headers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        Listener(lambda _: Sent(302, {"location": "/elsewhere"})).running() as server,
        client_of(f"http://127.0.0.1:{server.port}", tmp_path) as client,
    ):
        with pytest.raises(at.TransportError):
            client.get_kline(*CALL)
        assert "/elsewhere" not in caplog.text
        httpx.get(f"http://127.0.0.1:{server.port}")
    assert "/elsewhere" in caplog.text


def test_no_proxy_sees_a_request_to_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener().running() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        with (
            Listener(lambda _: Sent(302)).running() as server,
            client_of(f"http://127.0.0.1:{server.port}", tmp_path) as client,
            pytest.raises(at.TransportError, match="redirect"),
        ):
            client.get_kline(*CALL)
    assert (len(server.asked), proxy.connections) == (1, 0)


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
        assert (server.connections, server.asked) == (1, [])
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

    def test_are_verified_through_a_proxy_which_sees_no_more_than_the_host(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
        with self.serving(authority.issue_cert("localhost")) as server, Listener().running() as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            assert "CERTIFICATE_VERIFY_FAILED" in self.refused(server, tmp_path)
            assert len(proxy.asked) == 1
            self.trust(authority, tmp_path, monkeypatch)
            with (
                client_of(f"https://localhost:{server.port}", tmp_path / "archive") as client,
                pytest.raises(at.DecodeError),
            ):
                client.get_kline(*CALL)
            assert proxy.asked[-1].startswith(f"localhost:{server.port} ")
        assert holds_token(server.asked[0])
        assert not holds_token("".join(proxy.asked))

    def test_are_verified_whatever_is_done_to_the_standard_library(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # What people paste to make `urllib` take any certificate.
        monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)  # noqa: SLF001
        with self.serving(authority.issue_cert("localhost")) as server:
            assert "CERTIFICATE_VERIFY_FAILED" in self.refused(server, tmp_path)

    def test_that_are_trusted_are_taken(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.trust(authority, tmp_path, monkeypatch)
        monkeypatch.setattr(attempts, "_BACK_OFF", tenacity.wait_none())
        with (
            self.serving(authority.issue_cert("localhost")) as server,
            client_of(f"https://localhost:{server.port}", tmp_path / "archive") as client,
            # It answers nothing; but it is asked.
            pytest.raises(at.DecodeError),
        ):
            client.get_kline(*CALL)
        assert holds_token(server.asked[0])

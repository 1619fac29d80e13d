"""A sandbox in a process of its own, and the handle on it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from alltick_frames.sandbox.clock import epoch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

__all__ = ["Sandbox", "require_extra", "running"]

_NEEDS = ("starlette", "uvicorn", "exchange_calendars")
_PATIENCE_S = 60.0
_RAISES = {"TypeError": TypeError, "ValueError": ValueError}


class Sandbox:
    """A running sandbox; made by `running`.

    Attributes
    ----------
    url
        Where it listens, to be used as base URL.
    token
        The one token it accepts.
    plan
        The plan it started with.
    settings
        Keyword arguments for a client: ``Client(**sandbox.settings)``.
    """

    def __init__(self, url: str, token: str, plan: str, cache_dir: Path) -> None:
        self.url = url
        self.token = token
        self.plan = plan
        self.settings: dict[str, Any] = {
            "token": token,
            "plan": plan,
            "base_url": url,
            "cache_dir": cache_dir,
        }

    def __repr__(self) -> str:
        # Without the token: reprs end up in logs.
        return f"Sandbox(url={self.url!r}, plan={self.plan!r})"

    def configure(self, **changes: Any) -> None:
        """Change settings while it runs.

        Parameters
        ----------
        changes
            ``plan``; ``limits`` (True, False, or ``"count"`` to count without rejecting); ``count_rejected``;
            ``readings`` (a mapping, see `alltick_frames.sandbox.readings.Readings`); ``faults`` (fault name
            to probability, replacing those before); ``fault_seed``; ``fail_next`` (a count and a fault
            name); ``clock`` (``{"at": ..., "frozen": ...}``); ``latency_ms``; ``jitter_ms``; ``seed``;
            ``books`` (code to what its order book is to look like, one of `sandbox.books.SHAPES`, replacing
            those before: ``{"002035.SZ": "limit_up"}``); ``silent_codes`` (a list of codes that the server
            happens to know no tick of, replacing those before); ``sheets`` (tab of `sandbox.sheets.TABS` to
            the text that is served in place of its product sheet, replacing those before).

        Raises
        ------
        TypeError
            If a setting or reading does not exist.
        ValueError
            If a value is not one of those allowed; the message lists them.
        """
        self._post("configure", json.dumps(changes).encode())

    def set_clock(self, at: str | float | date | None, *, frozen: bool = False) -> None:
        """Let the sandbox's clock show *at* from now on: None is the real time, naive times are UTC.

        It keeps ticking unless *frozen*. Rate limits go by real time whatever it shows.
        """
        self.configure(clock=_clock_setting(at, frozen=frozen))

    def replay(self, code: str, period: str, frame: Any) -> None:
        """Serve *frame*'s bars for *code* and *period* instead of the model's.

        Longer periods are aggregated from them; shorter ones answer with no bars.

        Parameters
        ----------
        code
            Any code, also one that the vendor does not have.
        period
            ``"1m"`` to ``"1mo"``.
        frame
            A pandas or Polars frame, an Arrow table, or the path of a CSV or Parquet file, with columns
            open, high, low, close and perhaps volume and turnover in any case, and a time column or a
            DatetimeIndex. Times without a zone are UTC. Bars later than the sandbox's clock stay unseen.
        """
        import pyarrow as pa  # noqa: PLC0415 - importing the package must stay cheap

        from alltick_frames.sandbox.frames import replay_table  # noqa: PLC0415 - importing the package must stay cheap

        table = replay_table(frame, code)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self._post(f"replay?{urlencode({'code': code, 'period': period})}", sink.getvalue().to_pybytes())

    def end_replays(self) -> None:
        """Serve the model's bars again for every code that was replayed."""
        self._post("end_replays", b"")

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since the start or the last `reset`, oldest first (the newest 100,000).

        Those for ticks and static information have ``codes``, those for halts ``page`` and ``size``, and those for
        product sheets ``gid`` and ``parameters`` (the names of all that were sent), unless they were refused before
        they were read.
        """
        logged: list[dict[str, Any]] = self._state("?requests=1")["requests"]
        return logged

    def counters(self) -> dict[str, Any]:
        """Return counts of requests and bars: in all, per endpoint, per code, per kind of answer."""
        counts: dict[str, Any] = self._state()["counters"]
        return counts

    def streams(self) -> dict[str, Any]:
        """Return what there is and has been of WebSockets.

        ``connections`` (their family, and the codes of ``trades`` and ``order_book``), ``opened`` by family, ``pushed``
        by code, ``violations`` (``spacing``, ``codes``, ``connections``) and ``messages`` that came.
        """
        shown: dict[str, Any] = json.loads(self._call("GET", "streams"))
        return shown

    def disturb_streams(self, action: str, seconds: float = 0) -> None:
        """Do something to all WebSocket connections.

        Parameters
        ----------
        action
            ``drop`` closes them; ``half_open`` neither reads nor sends any more; ``refuse`` answers new ones with 429
            for some *seconds*; ``garbage`` sends a tick that is none; ``token_invalid`` and ``too_many`` send `ret` 401
            and 606.
        seconds
            Of ``refuse``.

        Raises
        ------
        ValueError
            If there is no such action.
        """
        self._post(f"streams?{urlencode({'action': action, 'seconds': seconds})}", b"")

    def violations(self) -> dict[str, int]:
        """Return how often each limit was exceeded, by window and reading: ``{"kline/sliding": 1}``."""
        counts: dict[str, int] = self.counters()["violations"]
        return counts

    def now(self) -> float:
        """Return the sandbox's clock, as UTC epoch seconds."""
        return float(self._state()["now"])

    def reset(self) -> None:
        """Forget counts, the log, used-up limits and failures still to come; settings stay."""
        self._post("reset", b"")

    def fail_next(self, count: int, fault: str) -> None:
        """Let the next *count* admitted requests fail by *fault*, one of `sandbox.faults.FAULTS`."""
        self.configure(fail_next=(count, fault))

    def bars(
        self,
        code: str,
        period: str,
        start: str | float | date | None = None,
        end: str | float | date | None = None,
    ) -> Any:
        """Return the server's own bars stamped in [*start*, *end*), whatever plan, limits and readings say.

        The daily stamps follow their reading. Naive times are UTC; without *start* from 2010,
        without *end* up to the bar that is forming.

        Returns
        -------
        pyarrow.Table
            timestamp (us, UTC), open, high, low, close, volume, turnover (float64, null where there is none)
            and closed (bool), ascending.
        """
        import pyarrow as pa  # noqa: PLC0415 - importing the package must stay cheap

        bounds = {name: epoch_of(at) for name, at in (("start", start), ("end", end)) if at is not None}
        answer = self._call("GET", f"bars?{urlencode({'code': code, 'period': period, **bounds})}")
        return pa.ipc.open_stream(answer).read_all()

    def _state(self, query: str = "") -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._call("GET", f"state{query}"))
        return state

    def _post(self, path: str, body: bytes) -> None:
        self._call("POST", path, body)

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        import http.client  # noqa: PLC0415 - importing the package must stay cheap

        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, f"/_sandbox/{path}", body)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status == http.client.OK:
            return answer
        problem = _problem(answer)
        raise _RAISES.get(problem["kind"], RuntimeError)(problem["error"])


@contextlib.contextmanager
def running(
    *,
    plan: str = "professional",
    clock: str | float | date | None = None,
    frozen: bool = False,
    readings: Mapping[str, Any] | None = None,
    replay: Mapping[tuple[str, str], Any] | None = None,
    faults: Mapping[str, float] | None = None,
    latency_ms: float = 0.0,
    jitter_ms: float = 0.0,
    limits: bool | str = True,
    count_rejected: bool = False,
    token: str | None = None,
    seed: int = 0,
    port: int = 0,
) -> Iterator[Sandbox]:
    """Run a sandbox in a process of its own for the length of a ``with`` block.

    Parameters
    ----------
    plan
        Whose limits, history and codes apply.
    clock, frozen
        What its clock shows at the start (naive: UTC; None: the real time), and whether it stands still.
    readings
        Answers to the protocol's open questions, see `alltick_frames.sandbox.readings.Readings`.
    replay
        Bars to serve instead of the model's, by code and period; see `Sandbox.replay`.
    faults
        Probability of each fault, see `alltick_frames.sandbox.faults.FAULTS`.
    latency_ms, jitter_ms
        How long every answer is held back, and up to how long every request is, before the limits count it.
    limits
        False to answer however often asked; ``"count"`` to count violations but answer.
    count_rejected
        Whether rejected requests use up allowance.
    token
        The token to accept; made up by default.
    seed
        Another seed, other prices.
    port
        0 for any free one.

    Yields
    ------
    Sandbox
        The handle; its process and its temporary archive are gone after the block.

    Raises
    ------
    ImportError
        If the packages of the ``sandbox`` extra are not installed.
    """
    require_extra()
    changes: dict[str, Any] = {
        "readings": dict(readings or {}),
        "faults": dict(faults or {}),
        "latency_ms": latency_ms,
        "jitter_ms": jitter_ms,
        "limits": limits,
        "count_rejected": count_rejected,
    }
    if clock is not None or frozen:
        changes["clock"] = _clock_setting(clock, frozen=frozen)
    options = ["--plan", plan, "--port", str(port), "--seed", str(seed)]
    if token is not None:
        options += ["--token", token]
    with (
        # A client may still be writing when the block ends; what it leaves is the system's to clean.
        tempfile.TemporaryDirectory(prefix="alltick-sandbox-", ignore_cleanup_errors=True) as cache_dir,
        _child(options) as ready,
    ):
        sandbox = Sandbox(**ready, cache_dir=Path(cache_dir))
        sandbox.configure(**changes)
        for (code, period), frame in (replay or {}).items():
            sandbox.replay(code, period, frame)
        yield sandbox


def require_extra() -> None:
    """Raise an ImportError that names the extra, unless its packages are installed."""
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the sandbox needs {', '.join(missing)}: pip install 'alltick-frames[sandbox]'", name=missing[0]
        )


@contextlib.contextmanager
def _child(options: list[str]) -> Iterator[dict[str, str]]:
    """Run the server; yield what it says when ready. What it wrote to stderr is passed on at the end."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "alltick_frames.sandbox", "--until-stdin-closes", *options],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # An interrupt of the notebook or terminal is the parent's to handle.
            start_new_session=True,
        )
        try:
            yield _ready(process, errors)
        finally:
            # It holds nothing that needs saving.
            process.kill()
            process.communicate()
            sys.stderr.write(_text(errors))


def _environment() -> dict[str, str]:
    """Return an environment in which the child finds this very package.

    With ``-P`` the current directory is not searched, where a user's own ``random.py`` may lie. A token that is
    meant for the vendor is none of the child's business.
    """
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    others = {name: value for name, value in os.environ.items() if not name.startswith("ALLTICK_TOKEN")}
    return {**others, "PYTHONPATH": path}


def _ready(process: subprocess.Popen[bytes], errors: IO[bytes]) -> dict[str, str]:
    if process.stdout is None:
        raise AssertionError("stdout is a pipe")
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise RuntimeError(f"the sandbox did not start (exit code {process.returncode}):\n{_text(errors)}")
    ready: dict[str, str] = json.loads(line)
    return ready


def _text(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace")


def _problem(answer: bytes) -> dict[str, str]:
    """Return what the control channel complains about; a crash answers with plain text."""
    try:
        problem: dict[str, str] = json.loads(answer)
    except ValueError:
        return {"kind": "RuntimeError", "error": answer.decode(errors="replace")}
    return problem


def _clock_setting(at: str | float | date | None, *, frozen: bool) -> dict[str, Any]:
    return {"at": None if at is None else epoch_of(at), "frozen": frozen}

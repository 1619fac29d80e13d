"""Whether everything is as a call needs it: settings, addresses, token, clocks, budget, archive, installed packages.

Nothing here raises for what it finds: a finding says what is wrong and what to do.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import re
import shutil
import ssl
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pyarrow as pa

from alltick_frames import calendars, clocks, decode, finality, schemas
from alltick_frames.errors import AllTickError, AuthenticationError, RateLimitError, StoreError
from alltick_frames.periods import Period
from alltick_frames.plans import PLANS
from alltick_frames.probe import MOST_REQUESTS, Finding, Seen, Status, probe
from alltick_frames.settings import DEFAULT_WS_URL
from alltick_frames.wire import KlineRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from alltick_frames.fetch import Report
    from alltick_frames.ledger import Ledger
    from alltick_frames.plans import Plan
    from alltick_frames.settings import Settings
    from alltick_frames.store import Archive
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Request

__all__ = ["addresses", "archive_health", "budget", "packages", "probed", "settings_in_force", "table"]

_CONNECTED_WITHIN_S = 5.0
_SKEW_BORNE = timedelta(seconds=30)
_SPACE_NEEDED = 2**30
# One of each family, which every plan has.
_PROBES = ("BTCUSDT", "700.HK")
_DISTRIBUTION = "alltick-frames"
_CALENDARS_LAST = timedelta(days=60)


def table(findings: Iterable[Finding]) -> pa.Table:
    """Give the report; schema `schemas.DOCTOR`."""
    rows = [
        {"topic": one.topic, "status": one.status, "finding": one.finding, "assumed": one.assumed, "source": one.source}
        for one in findings
    ]
    return pa.Table.from_pylist(rows, schema=schemas.DOCTOR)


def settings_in_force(settings: Settings, *, remembered: bool) -> Iterator[Finding]:
    """Say with what a call would be made."""
    if settings.token is None:
        yield Finding(
            "token",
            "problem",
            "none is set: put it into ALLTICK_TOKEN, or into a file of mode 600 named by ALLTICK_TOKEN_FILE; what is "
            "in the archive can be read without",
        )
    how = "as set" if settings.plan_named else "as remembered for this token" if remembered else "assumed: none is set"
    status: Status = "ok" if settings.plan_named or remembered else "note"
    yield Finding("plan in force", status, f"{settings.plan.name}, {how}")
    yield Finding("data of", "ok", f"{settings.origin} ({settings.base_url})")


async def addresses(
    settings: Settings, transport: Transport | None, clock: Callable[[], datetime], report: Report
) -> list[Finding]:
    """Ask each family for one bar, which shows the token and the clocks, too; of the others, see that they answer."""
    findings: list[Finding] = []
    for number, code in enumerate(_PROBES if transport is not None else ()):
        # What both families show is said once.
        said = {one.topic for one in findings}
        came = await _family(transport, code, clock)  # type: ignore[arg-type]  # not None, as just asked
        findings += [one for one in came if one.topic not in said or one.status == "problem"]
        if findings[-1].topic == "token" and findings[-1].status == "problem":
            break
        report(number + 1, len(_PROBES), 0.0)
    # The vendor's streams are no business of one who asks another server.
    foreign = settings.origin != "alltick" and settings.ws_url == DEFAULT_WS_URL
    for name, url, why in (
        ("streams", settings.ws_url, "not used yet"),
        ("product list", settings.products_url, "what is kept and built in is used"),
    ):
        host = urlsplit(url).hostname
        if foreign and url == settings.ws_url:
            findings.append(
                Finding(f"address of {name}", "ok", f"{why}; {host} was not tried, set ws_url to try another")
            )
            continue
        failure = await _connection(url)
        told = f"{host} answers" if failure is None else f"{host} cannot be reached ({failure}); {why}"
        findings.append(Finding(f"address of {name}", "ok" if failure is None else "note", told))
    return findings


async def _family(transport: Transport, code: str, clock: Callable[[], datetime]) -> list[Finding]:
    request = KlineRequest(code, Period.MINUTE_1, None, 1)
    topic = f"address of {request.path.split('/')[1]}"
    try:
        slot = await transport.turn(request.endpoint)
        began = time.monotonic()
        answer = await transport.send(request, slot, clock)
        took_s = time.monotonic() - began
        decode.kline_page(answer, request)
    except AllTickError as error:
        return [Finding("token" if isinstance(error, AuthenticationError) else topic, "problem", str(error))]
    skew_s = answer.skew.total_seconds()
    clocks_agree = abs(answer.skew) <= _SKEW_BORNE
    told = f"the server's is {abs(skew_s):,.0f} s {'ahead' if skew_s > 0 else 'behind'}; set this machine's"
    return [
        Finding("token", "ok", "accepted"),
        Finding(topic, "ok", f"{code} is answered, after {took_s * 1000:,.0f} ms"),
        Finding("clock", "ok", "as the server's") if clocks_agree else Finding("clock", "problem", told),
    ]


async def _connection(url: str) -> str | None:
    """Open a connection and close it; why that fails, in words."""
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    try:
        with anyio.fail_after(_CONNECTED_WITHIN_S):
            port = parts.port or (443 if secure else 80)
            host = str(parts.hostname)
            stream = await (anyio.connect_tcp(host, port, tls=True) if secure else anyio.connect_tcp(host, port))
            await stream.aclose()
    except TimeoutError:
        return f"no answer within {_CONNECTED_WITHIN_S:.0f} s"
    except (OSError, ssl.SSLError) as error:
        return str(error.__cause__ or error) or type(error).__name__
    return None


def budget(ledger: Ledger, plan: Plan) -> Iterator[Finding]:
    """Say what is left of the day, and whether the vendor has complained."""
    left, queue_s = ledger.left_today(), ledger.queue_s(plan)
    if left is None or queue_s is None:
        yield Finding("budget", "problem", "it is locked by another process; end that, or set ALLTICK_STATE_DIR")
        return
    status: Status = "ok" if left else "problem"
    yield Finding("budget", status, f"{left:,} requests left today; the next may leave in {queue_s:.1f} s")


def archive_health(settings: Settings, opened: Callable[[], Archive]) -> Iterator[Finding]:
    """Say where the archive is and whether it can be used; whether it is whole, `alltick cache verify` says."""
    directory = settings.cache_dir
    try:
        archive = opened()
        held = sum(archive.holds(*group) for group in archive.groups())
    except StoreError as error:
        yield Finding("archive", "problem", str(error))
        return
    yield Finding("archive", "ok", f"{archive.directory}: {held:,} series; `alltick cache verify` reads all of it")
    there = next(path for path in (directory, *directory.parents) if path.exists())
    free = shutil.disk_usage(there).free
    status: Status = "ok" if free > _SPACE_NEEDED else "note"
    yield Finding("disk", status, f"{free / 2**30:,.1f} GiB free")


def packages() -> Iterator[Finding]:
    """Say whether what is installed suffices, and how far the exchanges' calendars reach."""
    named = "alltick_frames {} on Python {}".format(_version(_DISTRIBUTION) or "from source", platform.python_version())
    yield Finding("version", "ok", f"{named}, {platform.system()}")
    for line in importlib.metadata.requires(_DISTRIBUTION) or ():
        name, floor = _floor(line)
        version = _version(name)
        if floor and version and _numbers(version) < _numbers(floor):
            told = f"{version} is older than {floor}, the oldest that is tested: pip install -U {name}"
            yield Finding(name, "problem", told)
        elif floor and version is None and "extra ==" not in line and "platform_system" not in line:
            yield Finding(name, "problem", f"not installed: pip install '{name}>={floor}'")
    known = [calendars.schedule(code) for code in ("700.HK", "600519.SH", "AAPL.US")]
    last = [finality.instant(int(one.dates[-1])) for one in known if one is not None]
    if not last:
        yield Finding(
            "calendars",
            "note",
            "not installed, so stocks' days close at midnight: pip install 'alltick-frames[calendars]'",
        )
        return
    ends = min(last)
    ok = ends - clocks.utc_now() > _CALENDARS_LAST
    remedy = "" if ok else "; after that weekdays are taken: pip install -U exchange_calendars"
    yield Finding("calendars", "ok" if ok else "note", f"of all exchanges known until {ends:%Y-%m-%d}{remedy}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _floor(requirement: str) -> tuple[str, str]:
    """Read the name and the oldest version of one of our own requirements."""
    found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=([0-9.]+))?", requirement)
    return (found[1], found[2] or "") if found else ("", "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version.split("+", maxsplit=1)[0])[:3])


async def probed(transport: Transport, plan: Plan, clock: Callable[[], datetime], report: Report) -> list[Finding]:
    """Carry out the probe; what fails in it is among its findings."""
    conversation = probe()
    asked, seen = 0, None
    while True:
        try:
            request = next(conversation) if seen is None else conversation.send(seen)
        except StopIteration as end:
            findings: list[Finding] = end.value
            return [_compared(one, plan) if one.topic == "plan" else one for one in findings]
        try:
            seen = await _seen(transport, request, clock)
        except (AuthenticationError, RateLimitError) as error:
            return [Finding("probe", "problem", f"ended after {asked} requests: {error}")]
        except AllTickError as error:
            seen = Seen(0, None, has_date=False, now=clock(), failure=error)
        asked += 1
        report(asked, MOST_REQUESTS, 0.0)


def _compared(finding: Finding, plan: Plan) -> Finding:
    """Say whether the plan that the answers show is the one in force."""
    names = finding.finding.split(" or ")
    if not set(names) <= set(PLANS):
        return finding
    if plan.name in names:
        return dataclasses.replace(finding, status="ok", assumed=plan.name)
    told = f"answers as {finding.finding} does: set ALLTICK_PLAN, or plan=, to that"
    return dataclasses.replace(finding, status="problem", finding=told, assumed=plan.name)


async def _seen(transport: Transport, request: Request, clock: Callable[[], datetime]) -> Seen:
    slot = await transport.turn(request.endpoint)
    return Seen.of(await transport.send(request, slot, clock), request)

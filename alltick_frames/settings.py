"""Who asks, and where: argument, then environment, then default; and the token that cannot be printed."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast, get_args
from urllib.parse import SplitResult, urlsplit

from alltick_frames.errors import ConfigError
from alltick_frames.plans import Plan, plan_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DEFAULT_WS_URL", "FrameKind", "Network", "OnIncomplete", "Settings", "Token", "is_loopback", "resolve"]

FrameKind = Literal["polars", "pandas", "arrow"]
OnIncomplete = Literal["raise", "warn", "ignore"]
Network = Literal["auto", "never"]

_DEFAULT_BASE_URL = "https://quote.alltick.co"
_VENDOR_HOSTS = ("quote.alltick.co", "quote.alltick.io", "quote.tradeswitcher.com")
DEFAULT_WS_URL = "wss://quote.alltick.co"
# One document, which anybody may read (vendor page "product code list").
_SHEETS_HOST = "https://docs.google.com"
_SHEET = "/spreadsheets/d/1avkeR1heZSj6gXIkDeBt8X3nv4EzJetw4yFuKjSDYtA/export?format=csv&gid={gid}"
_SECURE = {"https": "http", "wss": "ws"}
_PUBLIC = ("https", "http")
_SCHEME = re.compile("(https?|wss?)://")
_NO_URL = re.compile(r"[\\\s]")
_MORE_THAN_A_HOST = re.compile(r"[?#@\\\s]")


class Token:
    """An API token that shows itself to nobody but the transport.

    Its text is kept in a closure, so that neither `repr`, `vars`, `dataclasses.asdict`, a debugger's attribute
    list nor a pickle holds it.

    Examples
    --------
    >>> Token("0123456789abcdef-c-app")
    Token(***)
    """

    __slots__ = ("reveal",)

    reveal: Callable[[], str]

    def __init__(self, text: str) -> None:
        def reveal() -> str:
            return text

        self.reveal = reveal

    @classmethod
    def of(cls, value: object) -> Token | None:
        """Wrap *value*; a caller rebinds its own name to the result, so that no traceback's locals hold the text.

        What is no text becomes an empty token, which `resolve` refuses: an error raised here would show it.
        """
        if value is None or isinstance(value, Token):
            return value
        if not isinstance(value, str):
            return cls("")
        return cls(value.strip()) if value.strip() else None

    def __repr__(self) -> str:
        return "Token(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Token is never pickled; the receiving process takes it from ALLTICK_TOKEN")

    def fingerprint(self, host: str) -> str:
        """Identify token and host together without giving the token away."""
        return hashlib.sha256(f"{host}\0{self.reveal()}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a client is set up with; comparable, and safe to print.

    Attributes
    ----------
    plan
        Its limits; the Free plan's if none was named.
    plan_named
        Whether a plan was named at all.
    limits
        What replaces single figures of the plan, also of one that only the ledger remembers.
    base_url, ws_url
        Scheme and host; the families' paths are appended.
    products_url
        Of the product sheet's tabs, where `{gid}` stands for the tab; the token is not sent there.
    """

    token: Token | None
    plan: Plan
    plan_named: bool
    limits: Mapping[str, Any] | None
    base_url: str
    ws_url: str
    products_url: str
    cache_dir: Path
    state_dir: Path
    frame: FrameKind
    network: Network
    on_incomplete: OnIncomplete

    @property
    def origin(self) -> str:
        """Whose data it is: one archive never holds a test server's bars beside the vendor's."""
        if _is_vendors(self.base_url):
            return "alltick"
        parts = urlsplit(self.base_url)
        port = "" if parts.port is None else f"-{parts.port}"
        return re.sub("[^A-Za-z0-9.-]", "_", f"{parts.scheme}-{parts.hostname}{port}")


def resolve(
    *,
    token: str | Token | None = None,
    plan: str | None = None,
    base_url: str | None = None,
    ws_url: str | None = None,
    products_url: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    frame: FrameKind | None = None,
    network: Network | None = None,
    on_incomplete: OnIncomplete | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Settings:
    """Settle every setting now: argument, else environment variable `ALLTICK_<NAME>`, else default.

    Raises
    ------
    ConfigError
        An unknown plan, frame kind or mode, plain http to a public host, a token that can be none, an unreadable
        token file, or one that others may read.
    """
    token = _possible(_token(Token.of(token)))
    plan = plan or os.environ.get("ALLTICK_PLAN") or None
    base_url = _url("base_url", base_url, _DEFAULT_BASE_URL, "https")
    return Settings(
        token=token,
        plan=plan_named(plan or "free", limits),
        plan_named=plan is not None,
        limits=limits,
        base_url=base_url,
        ws_url=_url("ws_url", ws_url, _stream_of(base_url), "wss"),
        products_url=_products_url(products_url, base_url, token),
        cache_dir=_directory("cache", cache_dir),
        state_dir=_directory("state"),
        frame=cast("FrameKind", choose("frame", frame, FrameKind, "polars")),
        network=cast("Network", choose("network", network, Network, "auto")),
        on_incomplete=cast("OnIncomplete", choose("on_incomplete", on_incomplete, OnIncomplete, "raise")),
    )


def choose(name: str, value: str | None, allowed: Any, default: str) -> str:
    """Take one of the names *allowed*: *value*, else the environment's, else *default*."""
    chosen = value or os.environ.get(f"ALLTICK_{name.upper()}") or default
    if chosen not in get_args(allowed):
        raise ConfigError(f"{name}={chosen!r} is not known; use one of: {' '.join(get_args(allowed))}")
    return chosen


def _token(argument: Token | None) -> Token | None:
    if argument is not None:
        return argument
    # No local may ever be bound to os.environ or its methods: a traceback with locals would print the environment.
    if os.environ.get("ALLTICK_TOKEN", "").strip():
        return Token(os.environ["ALLTICK_TOKEN"].strip())
    path = os.environ.get("ALLTICK_TOKEN_FILE")
    return _token_from(Path(path).expanduser()) if path else None


def _possible(token: Token | None) -> Token | None:
    # Refused before anything encodes it: a UnicodeEncodeError holds the text.
    if token is not None and not (token.reveal() and token.reveal().isascii() and token.reveal().isprintable()):
        raise ConfigError(
            "the token is not a str of printable ASCII characters, as all tokens are; copy it once more from the "
            "vendor's dashboard"
        )
    return token


def _token_from(path: Path) -> Token:
    try:
        mode = path.stat().st_mode
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"ALLTICK_TOKEN_FILE={str(path)!r} may be read by others; run: chmod 600 {path}")
        token = Token(path.read_text(encoding="ascii", errors="replace").strip())
    except OSError as error:
        raise ConfigError(f"ALLTICK_TOKEN_FILE={str(path)!r} cannot be read: {error.strerror}") from None
    if not token.reveal():
        raise ConfigError(f"ALLTICK_TOKEN_FILE={str(path)!r} is empty; put the token into it")
    return token


def _url(name: str, argument: str | None, default: str, secure: str) -> str:
    url = (argument or os.environ.get(f"ALLTICK_{name.upper()}") or default).rstrip("/")
    parts = _parts(url)
    if parts is None or parts.scheme not in (secure, _SECURE[secure]) or not parts.hostname:
        raise ConfigError(f"{name}={_bare(url)!r} is not an address; write {secure}://host")
    if _MORE_THAN_A_HOST.search(url):
        raise ConfigError(f"{name}={_bare(url)!r} must be scheme and host only; the token is a setting of its own")
    if parts.scheme != secure and not is_loopback(parts.hostname):
        raise ConfigError(
            f"{name}={url!r} would send the token in clear text; use {secure}://, "
            f"{parts.scheme}:// is for this machine only"
        )
    return url


def _stream_of(base_url: str) -> str:
    """Give the address of the streams of a service: of the vendor's its own, of another server the same host."""
    return DEFAULT_WS_URL if _is_vendors(base_url) else f"ws{base_url.removeprefix('http')}"


def _products_url(argument: str | None, base_url: str, token: Token | None) -> str:
    url = argument or os.environ.get("ALLTICK_PRODUCTS_URL")
    if not url:
        return f"{_SHEETS_HOST if _is_vendors(base_url) else base_url}{_SHEET}"
    parts = _parts(url)
    if parts is None or parts.scheme not in _PUBLIC or not parts.hostname or "@" in parts.netloc or _NO_URL.search(url):
        raise ConfigError(f"products_url={_bare(url)!r} is not an address; write https://host/path?gid={{gid}}")
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ConfigError(f"products_url={_bare(url)!r} must be https://; http:// is for this machine only")
    if "{gid}" not in url:
        raise ConfigError(f"products_url={_bare(url)!r} does not say where the tab's id goes; write {{gid}} there")
    if token is not None and token.reveal() in url:
        raise ConfigError("products_url holds the token; anybody may read the product list, leave it out")
    return url


def _is_vendors(base_url: str) -> bool:
    parts = urlsplit(base_url)
    return parts.scheme == "https" and parts.hostname in _VENDOR_HOSTS and parts.port is None


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read, because only then is it judged
    except ValueError:  # its text may hold the password
        return None
    return parts


def _bare(url: str) -> str:
    """Leave out what may hold a secret: user, password, query and fragment, also of what is no address."""
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    before_query = re.split("[?#]", rest)[0]
    if "@" in rest and "@" not in before_query:
        before_query = ""  # a password with a question mark, or an "@" in the query: nobody can tell
    return (scheme[0] if scheme else "") + before_query.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _directory(name: Literal["cache", "state"], argument: str | os.PathLike[str] | None = None) -> Path:
    chosen = argument or os.environ.get(f"ALLTICK_{name.upper()}_DIR")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs  # noqa: PLC0415  # only when asked: a configured client does not need it

    default = platformdirs.user_data_dir if name == "cache" else platformdirs.user_state_dir
    return Path(default("alltick_frames", appauthor=False))

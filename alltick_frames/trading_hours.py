"""Trading hours as the vendor's product sheet writes them: text → weeks. Pure.

The sheet is written by hand, so many ways of writing are understood; but what is not understood to the last word is
not understood at all, and no zone, day or season is made up.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DAYS", "Season", "Week", "weeks_of", "zone_of_header"]

Season = Literal["summer", "winter"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES = 1440
_WEEK_MINUTES = 7 * _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Week:
    """When a product trades in every week, in wall time.

    Attributes
    ----------
    season
        When this holds where the list has two of them; None the year round.
    zone
        IANA name; None if the list does not say.
    opens, closes
        In minutes after Monday 00:00. A week that closes when it opens does not close.
    breaks
        Daily, as minutes after midnight; one that does not end after it begins goes over midnight.
    """

    season: Season | None
    zone: str | None
    opens: int
    closes: int
    breaks: tuple[tuple[int, int], ...] = ()


class _Token(NamedTuple):
    """A word that means something; `kind` is one letter, so that a sentence is a text that a pattern can match."""

    kind: str
    number: int = 0
    name: str = ""


_DAY_WORDS = {
    number: f"{name.lower()}[a-z]*|(?:周|星期|礼拜){han}"
    for number, (name, han) in enumerate(zip(DAYS, ("一", "二", "三", "四", "五", "六", "[日天]"), strict=True))
}
_DAY_NAMES = re.compile(
    "mon(day)?|tue(s(day)?)?|wed(s|nesday)?|thu(r(s(day)?)?)?|fri(day)?|sat(ur(day)?)?|sun(day)?|[周星期礼拜]+."
)
_ZONES = {
    "America/New_York": r"(?:us|u\.s\.|american?) ?(?:eastern|east)(?: time)?|eastern time|new york(?: time)?"
    r"|es?t ?/ ?edt|edt ?/ ?est|\bet\b|美东(?:时间)?|美国东部(?:时间)?|纽约时间",
    "Asia/Hong_Kong": r"hong kong(?: time)?|\bhkt\b|香港时间",
    "Asia/Shanghai": r"(?:beijing|china|shanghai)(?: time)?|北京时间",
}
_OFFSET = r"\b(?:gmt|utc)(?: ?([+-]) ?(\d{1,2})(?::?00)?\b(?!:))?(?: time)?"
_SEASONS = {"summer": r"summer(?: time)?|夏令时|夏季", "winter": r"winter(?: time)?|冬令时|冬季"}
_CLOCK = (
    r"(?:a?round|all) the clock|24 ?[/x×*] ?7|7 ?[/x×*] ?24(?: ?h(?:ours?)?)?"
    r"|24 hours(?: a day)?,? ?7 days(?: a week)?|7 days(?: a week)?,? ?24 hours(?: a day)?|全天候"
)
_IGNORED = r"\b(?:daily|every day|each day|from|opens?|trading|hours)\b|每日|每天|交易时间|[\s,;:()\[\]./|、]"
# In this order: what begins another word's text comes after it.
_GRAMMAR = re.compile(
    "|".join(
        (
            rf"(?P<clock>{_CLOCK})",
            rf"(?P<offset>{_OFFSET})",
            *(f"(?P<zone{number}>{words})" for number, words in enumerate(_ZONES.values())),
            # "Standard time" is none of these: "Eastern Standard Time" is said all the year round.
            *(f"(?P<{season}>{words})" for season, words in _SEASONS.items()),
            r"(?P<time>(?<!\d)\d{1,2}:\d{2}(?!\d)(?::00)?(?: ?[ap]\.?m\b\.?)?|(?<!\d)\d{1,2} ?[ap]\.?m\b\.?)",
            *(f"(?P<day{number}>(?<![a-z]){words})" for number, words in _DAY_WORDS.items()),
            r"(?P<break>(?:daily )?(?:break|pause|intermission)s?|休市|休息|中断)",
            r"(?P<to>-|~|\bto\b|\btill\b|\buntil\b|\bthrough\b|至|到)",
            rf"(?P<ignored>{_IGNORED})",
        )
    )
)
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::00)?(?: ?([ap])\.?m\.?)?")
_BOTH_SEASONS = re.compile(
    rf"({_SEASONS['summer']}) ?/ ?({_SEASONS['winter']})|({_SEASONS['winter']}) ?/ ?({_SEASONS['summer']})"
)
_TWO_TIMES = re.compile(r"(\d{1,2}:\d{2}) ?/ ?(\d{1,2}:\d{2})")
_WEEKLY = re.compile("dt-dt(?:b(?:t-t)+)?")
_DAILY = re.compile("(?:d-d(?:t-t)+|(?:t-t)+d-d)")


@lru_cache(maxsize=512)
def weeks_of(text: str, zone: str | None = None) -> tuple[Week, ...] | None:
    """Read *text*: one week, or one of each season; None if it cannot be read.

    *zone* is that of a text that names none.

    Examples
    --------
    >>> [week.opens for week in weeks_of("Summer: Sun 21:00 to Fri 21:00; winter: Sun 22:00 to Fri 22:00 (GMT)")]
    [9900, 9960]
    >>> weeks_of("Sun 18:00 - Fri 17:00 US Eastern, break 17:00-18:00 daily")[0].breaks
    ((1020, 1080),)
    >>> weeks_of("mornings only") is None
    True
    """
    plain = _plain(text)
    parts = [_tokens(part) for part in _by_season(plain)]
    variants = [variant for tokens in parts for variant in (_variants(tokens) if tokens else [[]])]
    zones = {token.name for variant in variants for token in variant if token.kind == "z"}
    if len(zones) > 1:
        return None
    weeks = [_week(variant, min(zones, default=zone)) for variant in variants]
    whole = [week for week in weeks if week is not None]
    seasons = [week.season for week in whole]
    if len(whole) < len(weeks) or len(set(seasons)) < len(seasons) or (None in seasons and len(seasons) > 1):
        return None
    return tuple(sorted(whole, key=lambda week: week.season or ""))


def zone_of_header(text: str) -> str | None:
    """Give the zone that a column's *text* names, if it names exactly one.

    Examples
    --------
    >>> zone_of_header("Transaction hours (GMT)"), zone_of_header("Transaction hours")
    ('UTC', None)
    """
    zones = {token.name for match in _GRAMMAR.finditer(_plain(text)) if (token := _token(match)).kind == "z"}
    return zones.pop() if len(zones) == 1 else None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub("[‐‑‒–—―−→]", "-", folded).split())


def _by_season(text: str) -> list[str]:
    """Take "21:00/22:00, summer/winter" apart; any other text is left as it is."""
    both = _BOTH_SEASONS.search(text)
    if both is None:
        return [text]
    first, second = (group for group in both.groups() if group)
    return [
        _TWO_TIMES.sub(rf"\{number}", text.replace(both[0], season))
        for number, season in enumerate((first, second), start=1)
    ]


def _tokens(text: str) -> list[_Token]:
    """Give the words of *text*; none if one of them is unknown."""
    tokens, end = [], 0
    for match in _GRAMMAR.finditer(text):
        if match.start() != end:
            return []
        end = match.end()
        tokens.append(_token(match))
    known = end == len(text) and all(token.kind != "?" for token in tokens)
    return [token for token in tokens if token.kind] if known else []


def _token(match: re.Match[str]) -> _Token:
    """Say what a match of the grammar means; its kind is empty for what means nothing, "?" for what cannot be."""
    name, text = str(match.lastgroup), match[0]
    if name == "time":
        minutes = _minutes(text)
        return _Token("?") if minutes is None else _Token("t", minutes)
    if name == "offset":
        return _offset(match)
    if name.startswith("zone"):
        return _Token("z", name=[*_ZONES][int(name[4:])])
    if name.startswith("day"):
        return _Token("d" if _DAY_NAMES.fullmatch(text) else "?", int(name[3:]))
    if name in ("summer", "winter"):
        return _Token("s", name=name)
    return _Token({"clock": "c", "break": "b", "to": "-"}.get(name, ""))


def _offset(match: re.Match[str]) -> _Token:
    sign, hours = re.fullmatch(_OFFSET, match[0]).groups()  # type: ignore[union-attr]  # it has just matched
    number = int(hours or 0)
    if number == 0:
        return _Token("z", name="UTC")
    # POSIX counts west of Greenwich: GMT+8 is Etc/GMT-8.
    furthest = 14 if sign == "+" else 12
    return _Token("z", name=f"Etc/GMT{'-' if sign == '+' else '+'}{number}") if number <= furthest else _Token("?")


def _minutes(text: str) -> int | None:
    """Give the minutes after midnight of "21:00", "9 pm" or "24:00"."""
    hours, minutes, half = _TIME.fullmatch(text).groups()  # type: ignore[union-attr]  # it has just matched
    hour, minute = int(hours), int(minutes or 0)
    if half:
        if not 1 <= hour <= 12:  # noqa: PLR2004  # a clock's face
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    total = 60 * hour + minute
    return total if minute < 60 and total <= _DAY_MINUTES else None  # noqa: PLR2004  # an hour


def _variants(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Part *tokens* at its seasons, which stand either before or after what they are about."""
    said = [token for token in tokens if token.kind not in ("z", "-")]
    before = bool(said) and said[0].kind == "s"
    part: list[_Token] = []
    for token in tokens if before else reversed(tokens):
        if token.kind == "s" and any(other.kind == "s" for other in part):
            yield part if before else part[::-1]
            part = []
        part.append(token)
    yield part if before else part[::-1]


def _week(tokens: Sequence[_Token], zone: str | None) -> Week | None:
    seasons = [token.name for token in tokens if token.kind == "s"]
    season: Season | None = None if not seasons else "summer" if seasons[0] == "summer" else "winter"
    words = [token for token in tokens if token.kind not in ("s", "z")]
    # What parts a season from its hours.
    while words and words[0].kind == "-":
        words.pop(0)
    while words and words[-1].kind == "-":
        words.pop()
    sentence = "".join(word.kind for word in words)
    times = [word.number for word in words if word.kind == "t"]
    days = [word.number for word in words if word.kind == "d"]
    pairs = list(zip(times[::2], times[1::2], strict=False))
    if sentence == "c":
        return Week(season, zone or "UTC", 0, 0)
    if _WEEKLY.fullmatch(sentence):
        return _weekly(season, zone, days, pairs)
    return _daily(season, zone, days, pairs) if _DAILY.fullmatch(sentence) else None


def _weekly(
    season: Season | None, zone: str | None, days: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> Week | None:
    """Read "Sun 21:00 to Fri 21:00, break 21:00-22:00"."""
    (opens, closes), *breaks = pairs
    if any(begin % _DAY_MINUTES == end % _DAY_MINUTES for begin, end in breaks):
        return None
    return Week(
        season,
        zone,
        (days[0] * _DAY_MINUTES + opens) % _WEEK_MINUTES,
        (days[1] * _DAY_MINUTES + closes) % _WEEK_MINUTES,
        tuple((begin % _DAY_MINUTES, end % _DAY_MINUTES) for begin, end in breaks),
    )


def _daily(
    season: Season | None, zone: str | None, days: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> Week | None:
    """Read "Mon-Fri 09:30-12:00, 13:00-16:00": what lies between, overnight too, are breaks."""
    edges = [time for pair in pairs for time in pair]
    if edges != sorted(set(edges)) or days[0] == days[1]:
        return None
    inner = zip(edges[1::2], edges[2::2], strict=False)
    night = (edges[-1] % _DAY_MINUTES, edges[0])
    nights = () if night[0] == night[1] else (night,)
    return Week(
        season,
        zone,
        days[0] * _DAY_MINUTES + edges[0],
        (days[1] * _DAY_MINUTES + edges[-1]) % _WEEK_MINUTES,
        (*inner, *nights),
    )

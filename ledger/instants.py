"""Instants and recurrence grids.

An `Instant` is a whole number of microseconds since 1970-01-01T00:00:00Z. `FOREVER` is after every instant and
`ORIGIN` before every one.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from re import compile
from typing import Literal, TypeAlias

import msgspec

Instant: TypeAlias = int
Span: TypeAlias = int  # microseconds

SECOND: Span = 1_000_000
MINUTE: Span = 60 * SECOND
HOUR: Span = 60 * MINUTE
DAY: Span = 24 * HOUR

ORIGIN: Instant = -(2**62)
FOREVER: Instant = 2**62

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BARE_EPOCH = _EPOCH.replace(tzinfo=None)
_FIRST: Instant = -62_135_596_800 * SECOND  # 0001-01-01T00:00:00Z
_LAST: Instant = 253_402_300_800 * SECOND - 1  # 9999-12-31T23:59:59.999999Z
_TEXT = compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.([0-9]+))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


class InstantError(ValueError):
    """The text is no RFC 3339 instant with an offset."""


def instant(text: str) -> Instant:
    """RFC 3339 with an offset, years 0001 to 9999 in UTC; digits beyond the microsecond are dropped.

    Raises `InstantError`.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InstantError(f"{text[:40]!r} is not an RFC 3339 instant with an offset")
    date, clock, fraction, offset = found.groups()
    try:
        at = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError:
        raise InstantError(f"{text[:40]!r} is not an RFC 3339 instant with an offset") from None
    found_at = of(at) + int((fraction or "0")[:6].ljust(6, "0"))
    if not _FIRST <= found_at <= _LAST:
        raise InstantError(f"{text[:40]!r} lies outside the years 0001 to 9999 in UTC")
    return found_at


def of(at: datetime) -> Instant:
    """The instant of an aware datetime."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def text(at: Instant) -> str:
    """RFC 3339 in UTC, with as many fractional digits as it takes (none, or up to six)."""
    seconds, micros = divmod(at, SECOND)
    # With an offset it would write that; `strftime` takes three times as long.
    written = (_BARE_EPOCH + timedelta(seconds=seconds)).isoformat()
    return f"{written}.{micros:06d}".rstrip("0") + "Z" if micros else f"{written}Z"


class Every(msgspec.Struct, frozen=True, array_like=True):
    """A step of a grid: `count` times a unit. Months and years are counted from the anchor itself (L8)."""

    count: int
    unit: Literal["hour", "day", "week", "month", "year"]

    def point(self, anchor: Instant, n: int) -> Instant:
        """`anchor + n x every`, n of either sign; clamped to the month's last day (L8)."""
        fixed = _FIXED.get(self.unit)
        if fixed is not None:
            return anchor + n * self.count * fixed
        months = n * self.count * (12 if self.unit == "year" else 1)
        return _add_months(anchor, months)

    def index(self, anchor: Instant, at: Instant) -> int:
        """The n of the last grid point at or before `at`."""
        fixed = _FIXED.get(self.unit)
        if fixed is not None:
            return (at - anchor) // (self.count * fixed)
        step = self.count * (12 if self.unit == "year" else 1)
        n = (_month_number(at) - _month_number(anchor)) // step + 1
        while self.point(anchor, n) > at:
            n -= 1
        return n


_FIXED = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
_DURATION = compile(r"P(?:([0-9]{1,6})([DWMY])|T([0-9]{1,6})([HMS]))")
_UNITS = {"D": "day", "W": "week", "M": "month", "Y": "year"}


def every(text: str) -> Every:
    """`PT1H`, `P1D`, `P1W`, `P3M`, `P1Y`: one unit, an hour at least (the wire). Raises `InstantError`."""
    found = _DURATION.fullmatch(text)
    if found is not None:
        count, unit, hours, small = found.groups()
        if hours is not None and small == "H" and int(hours) > 0:
            return Every(int(hours), "hour")
        if count is not None and int(count) > 0:
            return Every(int(count), _UNITS[unit])  # type: ignore[arg-type]
    raise InstantError(f"{text[:40]!r} is not a duration like PT1H, P1D, P1W, P3M or P1Y")


def every_text(every: Every) -> str:
    if every.unit == "hour":
        return f"PT{every.count}H"
    return f"P{every.count}{every.unit[0].upper()}"


def span(text: str) -> Span:
    """A fixed duration of seconds, minutes, hours, days or weeks, in microseconds. Raises `InstantError`."""
    found = _DURATION.fullmatch(text)
    if found is not None:
        count, unit, small_count, small = found.groups()
        if small_count is not None:
            return int(small_count) * {"H": HOUR, "M": MINUTE, "S": SECOND}[small]
        if unit in "DW":
            return int(count) * {"D": DAY, "W": 7 * DAY}[unit]
    raise InstantError(f"{text[:40]!r} is not a fixed duration like PT10M, PT1H or P34D")


def _month_number(at: Instant) -> int:
    return _month_of(at // DAY)


@lru_cache(maxsize=16_384)
def _month_of(day: int) -> int:
    date = _EPOCH + timedelta(days=day)
    return date.year * 12 + date.month - 1


@lru_cache(maxsize=65_536)
def _add_months(anchor: Instant, months: int) -> Instant:
    seconds, micros = divmod(anchor, SECOND)
    base = _EPOCH + timedelta(seconds=seconds)
    year, month0 = divmod(base.year * 12 + base.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        return FOREVER if year > 9999 else ORIGIN
    day = min(base.day, _days_in_month(year, month0 + 1))
    return of(datetime(year, month0 + 1, day, base.hour, base.minute, base.second, tzinfo=UTC)) + micros


def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31

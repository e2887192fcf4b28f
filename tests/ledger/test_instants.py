"""Instants are microseconds, read and written exactly; grids are counted from their anchor (L8)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.instants import (
    DAY,
    FOREVER,
    HOUR,
    MINUTE,
    ORIGIN,
    SECOND,
    Every,
    InstantError,
    every,
    every_text,
    instant,
    of,
    span,
)
from ledger.instants import text as instant_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=offsets,
)
steps = st.builds(Every, st.integers(1, 40), st.sampled_from(["hour", "day", "week", "month", "year"]))
anchors = st.integers(instant("1900-01-01T00:00:00Z"), instant("2200-01-01T00:00:00Z"))


def test_an_instant_counts_microseconds_since_1970() -> None:
    assert instant("1970-01-01T00:00:00Z") == 0
    assert instant("1970-01-01T00:00:01.5Z") == 1_500_000
    assert instant("1969-12-31T23:59:59.999999Z") == -1
    assert of(datetime(1970, 1, 2, 0, 0, 1, 5, tzinfo=UTC)) == DAY + SECOND + 5


def test_an_offset_is_taken_off() -> None:
    assert instant("2026-03-16T10:30:00+01:00") == instant("2026-03-16T09:30:00Z")
    assert instant("2026-03-16T00:00:00-00:00") == instant("2026-03-16 00:00:00z")


def test_digits_beyond_the_microsecond_are_dropped_and_not_rounded() -> None:
    assert instant("2026-03-16T09:30:00.123456999Z") == instant("2026-03-16T09:30:00.123456Z")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "2026-03-16",
        "2026-03-16T09:30:00",
        "2026-03-16T09:30Z",
        "2026-02-30T00:00:00Z",
        "2026-03-16T24:00:00Z",
        "2026-03-16T23:59:60Z",
        "2026-03-16T09:30:00+24:00",
        "2026-03-16T09:30:00+00:99",
        "2026-03-16T09:30:00.Z",
        "2026-03-16T09:30:00.\u0663Z",
        "2026-03-16T09:30:00Z\n",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "1773653400",
    ],
)
def test_what_is_no_instant_of_rfc_3339_is_refused(said: str) -> None:
    with pytest.raises(InstantError):
        instant(said)


@given(moments)
def test_reading_and_writing_agree_with_datetime(moment: datetime) -> None:
    micros = (moment - EPOCH) // timedelta(microseconds=1)

    assert instant(moment.isoformat()) == of(moment) == micros
    assert instant(instant_text(micros)) == micros
    assert datetime.fromisoformat(instant_text(micros)) == moment


def test_the_first_and_the_last_instant_are_written_as_they_were_read() -> None:
    for said in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert instant_text(instant(said)) == said


def test_a_duration_is_a_whole_number_of_one_unit() -> None:
    assert every("PT1H") == Every(1, "hour")
    assert every("P3M") == Every(3, "month")
    assert span("PT10M") == 10 * MINUTE
    assert span("P34D") == 34 * DAY
    assert span("PT1S") == SECOND
    assert span("P1W") == 7 * DAY
    for written in ("P1D", "P1W", "P2M", "P1Y", "PT5H"):
        assert every_text(every(written)) == written


@pytest.mark.parametrize(
    "said", ["", "P", "P0D", "PT0H", "P1", "1M", "P1M1D", "PT30M", "PT90S", "P-1M", "P1.5D", "P\u0661D"]
)
def test_a_step_of_less_than_an_hour_or_of_two_units_is_refused(said: str) -> None:
    with pytest.raises(InstantError):
        every(said)


@pytest.mark.parametrize("said", ["P1M", "P1Y", "P1DT1H", "", "PT"])
def test_a_span_is_never_of_months(said: str) -> None:
    with pytest.raises(InstantError):
        span(said)


@given(steps)
def test_a_step_written_and_read_is_the_same(step: Every) -> None:
    assert every(every_text(step)) == step


def test_months_from_the_31st_are_counted_from_the_anchor_itself() -> None:
    """L8: clamped to the month's last day, and the 31st comes back."""
    anchor = instant("2026-01-31T10:00:00Z")

    points = [instant_text(Every(1, "month").point(anchor, n))[:10] for n in (-2, 1, 2, 3)]

    assert points == ["2025-11-30", "2026-02-28", "2026-03-31", "2026-04-30"]


def test_each_month_has_its_own_last_day_and_leap_years_theirs() -> None:
    anchor = instant("2025-01-31T00:00:00.5Z")

    year = [instant_text(Every(1, "month").point(anchor, n)) for n in range(12)]
    assert [point[8:10] for point in year] == ["31", "28", "31", "30", "31", "30", "31", "31", "30", "31", "30", "31"]
    assert {point[10:] for point in year} == {"T00:00:00.5Z"}

    leap_day = instant("1896-02-29T00:00:00Z")
    years = [instant_text(Every(1, "year").point(leap_day, n))[:10] for n in (4, 8, 104, 108, 204)]
    assert years == ["1900-02-28", "1904-02-29", "2000-02-29", "2004-02-29", "2100-02-28"]


def test_a_grid_of_months_knows_which_point_is_the_last_one_before_an_instant() -> None:
    anchor = instant("2025-11-15T00:00:00Z")
    asked = ("2025-11-15T00:00:00Z", "2025-12-14T23:59:59Z", "2025-12-15T00:00:00Z", "2026-01-14T00:00:00Z")

    assert [Every(1, "month").index(anchor, instant(at)) for at in asked] == [0, 0, 1, 1]
    assert Every(1, "month").index(anchor, instant("2025-01-01T00:00:00Z")) == -11
    assert Every(2, "year").index(anchor, instant("2031-11-14T00:00:00Z")) == 2


def test_the_first_and_the_last_year_of_the_calendar_have_points() -> None:
    assert instant_text(Every(1, "year").point(instant("9998-12-31T00:00:00Z"), 1)) == "9999-12-31T00:00:00Z"
    assert Every(1, "year").point(instant("9999-12-31T00:00:00Z"), 1) == FOREVER
    assert instant_text(Every(1, "year").point(instant("0002-01-01T00:00:00Z"), -1)) == "0001-01-01T00:00:00Z"
    assert Every(1, "year").point(instant("0001-01-01T00:00:00Z"), -1) == ORIGIN


def test_a_grid_that_leaves_the_calendar_never_comes_back() -> None:
    assert Every(9_000, "year").point(0, 1) == FOREVER
    assert Every(9_000, "year").point(0, -1) == ORIGIN


@given(steps, anchors, st.integers(-500, 500))
def test_a_grid_grows_and_its_index_finds_each_point(step: Every, anchor: int, n: int) -> None:
    """L8: the n-th point holds until just before the next one."""
    point, after = step.point(anchor, n), step.point(anchor, n + 1)
    if point > ORIGIN and after < FOREVER:
        assert point < after
        assert step.index(anchor, point) == step.index(anchor, after - 1) == n


@given(steps, anchors, st.integers(0, 400 * DAY // HOUR))
def test_the_last_point_is_at_or_before_any_instant(step: Every, anchor: int, hours: int) -> None:
    at = anchor + hours * HOUR
    n = step.index(anchor, at)

    assert step.point(anchor, n) <= at < step.point(anchor, n + 1)

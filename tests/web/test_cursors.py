"""A cursor that we never wrote, or wrote for somebody else, is answered: by rows, or by a problem that names it."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.instants import DAY, instant
from ledger.ledger import Ledger
from tables.memory import MemoryRows
from tests.ledger.language import BOUNDS, facts
from web import accounts, agreed, asked, cursors, looks, watched
from web.cluster import AsOf, View
from web.problems import Problem

NOW = instant("2026-02-15T00:00:00Z")
STORY = """
    contract c from 2026-01-01 bringing
    subscription team seats ana bo
    recurring monthly 20 per seat of team every P1M
    grant pool 100
    burn 3 by ana at 01-02 id b1
    burn 4 by bo at 02-02 id b2
"""


#: More than fit a page, to whom something happens at once.
CROWD = """
    contract c carry from 2026-01-01 bringing
    subscription team seats ana bo cy di
    recurring monthly 20 per seat of team every P1M
    grant pool 10
    move ana to ed carrying at 01-20
    burn 99 by bo at 01-21 id b1
    burn 4 by bo at 02-01 id b2
"""


def view(story: str) -> View:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for fact, arrived_at in facts(story):
        ledger.fold(fact, arrived_at)
    ledger.flush()
    return View(ledger.book.rows, NOW, AsOf({}, NOW, 0, 0))


ACME = view(STORY)
CROWDED = view(CROWD)
LISTS: dict[str, Callable[[str], Any]] = {
    "balances": lambda cursor: accounts.balances(ACME, "acme", asked.Balances(cursor=cursor)),
    "ledger": lambda cursor: accounts.ledger(ACME, "acme", asked.Ledger(cursor=cursor)),
    "ledger of a crowd": lambda cursor: accounts.ledger(CROWDED, "acme", asked.Ledger(cursor=cursor, limit=1)),
    "history/balance": lambda cursor: accounts.balance_history(ACME, "acme", asked.BalanceHistory(cursor=cursor)),
    "seats": lambda cursor: agreed.seats(ACME, "acme", asked.Seats(cursor=cursor)),
    "history/seats": lambda cursor: agreed.seat_history(ACME, "acme", asked.SeatHistory(cursor=cursor)),
    "alerts": lambda cursor: watched.alerts(ACME, "acme", asked.Alerts(cursor=cursor)),
    "seats of a page": lambda cursor: looks.of_customer(ACME, "acme", asked.CustomerPage(cursor=cursor)),
    "least first": lambda cursor: looks.of_customer(ACME, "acme", asked.CustomerPage(cursor=cursor, sort="left")),
}
TEXTS = (
    st.sampled_from(["acme", "ana", "bo", "c", "credits", "team"])
    | st.sampled_from(["", "zz", "\0", "a" * 300])
    | st.text(st.characters(), max_size=3)
)
CREDITS, CONTRACT = st.sampled_from(["credits", ""]) | TEXTS, st.just("c") | TEXTS
NUMBERS = st.integers(-3, 3) | st.sampled_from([NOW, -1, 2**62, -(2**63), 2**63, 2**64, 10**40, -(10**40)])
WHEN = st.sampled_from([instant(f"2026-{day}T00:00:00Z") for day in ("01-01", "01-20", "02-01")]) | NUMBERS
LINES = st.tuples(
    WHEN, st.integers(0, 12) | NUMBERS, TEXTS, CREDITS, CONTRACT, st.just("seat_id") | TEXTS, TEXTS,
    st.integers(0, 1) | NUMBERS, TEXTS, TEXTS, NUMBERS, TEXTS, NUMBERS, TEXTS,
)  # fmt: skip
MOMENTS = (
    st.sampled_from([f"2026-{month:02}-01T00:00:00Z" for month in range(1, 5)])
    | st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01"])
    | TEXTS
)
PLACES: dict[str, st.SearchStrategy[Any]] = {
    "balances": st.tuples(CREDITS, CONTRACT, NUMBERS, TEXTS),
    "seats of a page": st.tuples(CREDITS, CONTRACT, NUMBERS, TEXTS),
    "least first": st.tuples(NUMBERS, TEXTS, TEXTS, TEXTS),
    "seats": st.tuples(CONTRACT, TEXTS, TEXTS),
    "history/seats": st.tuples(CONTRACT, st.just("team") | TEXTS, NUMBERS),
    "history/balance": st.tuples(MOMENTS, MOMENTS, MOMENTS),
    "alerts": st.tuples(TEXTS, st.fixed_dictionaries({"customer_id": TEXTS}, optional={"contract_id": TEXTS, "seat_id": TEXTS})),
    "ledger": LINES,
    "ledger of a crowd": LINES,
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_no_cursor_is_our_mistake(name: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(PLACES[name])
    def try_it(place: Any) -> None:
        # An integer is as long as JSON lets it be.
        written = cursors.write(name.removesuffix(" of a crowd"), msgspec.Raw(_json(place)))
        try:
            held = LISTS[name](written)
        except Problem as problem:
            # A span that is longer than any that was told has too many points.
            fields = ("cursor", "every") if name == "history/balance" else ("cursor",)
            assert problem.status == 400 and problem.field in fields
        else:
            assert "data" in held or "seats" in held

    try_it()


def _json(place: Any) -> bytes:
    # msgspec's own writes no integer that is longer than 64 bits.
    return json.dumps(place).encode()


def test_a_cursor_of_a_customer_with_more_kinds_of_seats_is_none_of_ours_to_stumble_over() -> None:
    """Its place is behind all seats of the same contract here; what there is of other contracts follows."""
    cursor = cursors.write("balances", ("credits", "c", 1, "ana"))
    assert accounts.balances(ACME, "acme", asked.Balances(cursor=cursor))["data"] == []
    before = cursors.write("balances", ("credits", "b", 7, "ana"))
    assert len(accounts.balances(ACME, "acme", asked.Balances(cursor=before))["data"]) == 3


def test_a_ledger_cursor_of_another_version_is_said_to_be_none_of_ours() -> None:
    """A place was a whole line once."""
    place = {
        "time": NOW,
        "type": "burned",
        "amount": 1,
        "scope": {"customer_id": "acme"},
        "cause_type": "x",
        "cause_id": "b",
    }
    with pytest.raises(Problem) as refused:
        LISTS["ledger"](cursors.write("ledger", place))
    assert (refused.value.status, refused.value.field) == (400, "cursor")


def test_a_ledger_page_ends_after_so_many_looks_however_few_lines_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on where it ended: none is left out, none comes twice."""
    at_once = accounts.ledger(CROWDED, "acme", asked.Ledger())["data"]
    monkeypatch.setattr(accounts, "looks_for", lambda limit: 3)
    rows: list[Any] = []
    cursor, empty = None, 0
    while True:
        held = accounts.ledger(CROWDED, "acme", asked.Ledger(cursor=cursor, limit=2))
        rows += held["data"]
        empty += not held["data"]
        cursor = held["next_cursor"]
        if cursor is None:
            break
    assert rows == at_once and empty


@pytest.mark.parametrize("seat_id", [None, "bo"])
def test_a_curve_through_many_burns_is_told_a_few_points_at_a_time(
    monkeypatch: pytest.MonkeyPatch, seat_id: str | None
) -> None:
    """The same points, also where the clock goes on meanwhile."""
    named: dict[str, Any] = {"contract_id": "c", "seat_id": seat_id, "every": "P1W"}
    at_once = accounts.balance_history(ACME, "acme", asked.BalanceHistory(**named))
    assert at_once["next_cursor"] is None and len(at_once["data"]) == 5
    monkeypatch.setattr(accounts, "MOST_LOOKED_AT", 0)
    points: list[Any] = []
    cursor, pages, now = None, 0, NOW
    while True:
        held = accounts.balance_history(ACME._replace(clock=now), "acme", asked.BalanceHistory(cursor=cursor, **named))
        points += held["data"]
        pages += 1
        now += DAY
        cursor = held["next_cursor"]
        if cursor is None:
            break
    assert points == at_once["data"] and pages > 1


def test_a_ledger_cursor_from_after_the_end_has_nothing_behind_it() -> None:
    found = accounts.ledger(ACME, "acme", asked.Ledger(limit=5))
    [*_, last] = found["data"]
    assert last["cause"]["id"] != "b2" and found["next_cursor"] is not None
    to = asked.Moment(instant("2026-01-01T00:00:00Z"))
    assert accounts.ledger(ACME, "acme", asked.Ledger(cursor=found["next_cursor"], to=to))["data"] == []

"""Balances over time, by pencil: what there was at each point, and what was burned and went over since the one before it."""

from typing import Any

import pytest

from ledger.amounts import text
from ledger.curves import windows
from ledger.instants import Instant, instant
from ledger.outcome import Scope
from tests.ledger.language import play

#: The pool has 10 until February, then 5; ana has 2 of her own, which burn first. d has a pool too.
STORY = """
    contract d
    grant theirs 50
    contract c
    subscription team seats ana bo
    grant ours 10 until 02-01
    grant hers 2 to seat ana priority 1
    grant later 5 from 02-01
    burn 3 by ana at 01-05
    burn 4 at 01-10
    burn 1 on d at 01-11
    burn 6 by bo at 01-20
    burn 2 at 01-25
    burn 3 by bo at 02-03
    burn 4 at 02-05
    tick 03-01
"""


def at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


def curve(who: str | None, *days: str, since: str = "01-01", contract_id: str = "c") -> list[str]:
    """`1 of 10, 9 burned, 0 over`."""
    ledger: Any = play(STORY).ledger
    ledger.flush()
    scope = Scope(customer_id="acme", contract_id=contract_id, seat_id=who)
    return [
        f"{text(one.balance)} of {text(one.granted)}, {text(one.burned)} burned, {text(one.overage)} over"
        for one, _ in windows(ledger.book, "acme", scope, [at(day) for day in days], at(since))
    ]


def test_a_pool_pays_for_all_and_a_burn_at_a_point_comes_after_it() -> None:
    assert curve(None, "01-05", "01-10", "01-20", "01-21") == [
        "10 of 10, 0 burned, 0 over",
        "9 of 10, 1 burned, 0 over",
        "5 of 10, 4 burned, 0 over",
        "0 of 10, 5 burned, 0 over",  # the sixth is bo's overage, and not the pool's
    ]
    assert curve(None, "01-31", "02-01", "02-04", "02-28", since="01-21") == [
        "0 of 10, 0 burned, 2 over",
        "5 of 5, 0 burned, 0 over",
        "2 of 5, 3 burned, 0 over",
        "0 of 5, 2 burned, 2 over",
    ]


def test_one_point_over_all_stretches_has_what_they_come_to() -> None:
    assert curve(None, "02-28") == ["0 of 5, 15 burned, 4 over"]
    assert curve(None, "02-28", contract_id="d") == ["49 of 50, 1 burned, 0 over"]


def test_a_curve_from_the_middle_of_a_stretch_has_what_came_after_it() -> None:
    assert curve(None, "01-12", since="01-10") == ["5 of 10, 4 burned, 0 over"]
    assert curve(None, "01-12", since="01-11") == ["5 of 10, 0 burned, 0 over"]


def test_a_seat_pays_of_its_own() -> None:
    assert curve("ana", "01-05", "01-06") == ["2 of 2, 0 burned, 0 over", "0 of 2, 2 burned, 0 over"]
    assert curve("bo", "01-20", "01-21") == ["0 of 0, 0 burned, 0 over", "0 of 0, 0 burned, 1 over"]


def test_who_is_not_known_has_nothing_at_each_point() -> None:
    assert curve(None, "01-05", "01-10", contract_id="x") == ["0 of 0, 0 burned, 0 over"] * 2
    assert curve("nobody", "01-05") == ["0 of 0, 0 burned, 0 over"]


@pytest.mark.parametrize(("until", "looked_at"), [("01-01", 3), ("01-06", 4), ("02-28", 9)])
def test_what_was_looked_at_is_the_burns_and_the_grants_of_each_point(until: str, looked_at: int) -> None:
    """Two pools have one grant each at any time, and seven burned; the burn after a point is looked at before it is put off."""
    ledger: Any = play(STORY).ledger
    ledger.flush()
    scope = Scope(customer_id="acme", contract_id="c")
    [(_, looks)] = windows(ledger.book, "acme", scope, [at(until)], at("01-01"))
    assert looks == looked_at

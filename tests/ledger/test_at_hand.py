"""What stays at hand from batch to batch is what was written, and no more of it than may stay."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ledger.amounts import UNIT
from ledger.balances import MOST_READ
from ledger.facts import AnyFact
from ledger.instants import HOUR, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded
from tests.ledger.language import BOUNDS, facts, play, play_on
from tests.ledger.memory import MemoryRows


@pytest.mark.parametrize(
    "later",
    [
        "burn 2 by ana at 06-03T12:00",
        "burn 5 by ana at 06-05\nburn 4 by bo at 06-05T01:00",
        "burn 1 by ana at 06-05 id b\ntake back b",
        "grant more 3 from 06-04",
        "void ours at 06-04T12:00",
        "move ana to bo carrying at 06-04T12:00",
        "contract d from 06-05\nburn 1 by ana at 06-05 on d",
    ],
)
def test_a_story_comes_to_the_same_in_batches_whose_rows_stay(later: str) -> None:
    story = f"""
        contract c from 2026-01-01
        subscription team seats ana bo
        grant ours 10 from 06-01
        grant own 2 to seat ana from 06-01 until 06-07
        burn 1 by ana at 06-02
        burn 1 by bo at 06-02
        burn 1 by ana at 06-03
        burn 1 by bo at 06-03
        burn 1 by ana at 06-04
        {later}
        burn 1 by ana at 06-06 on c
        burn 1 by bo at 06-06 on c
        burn 1 by ana at 06-08 on c
    """
    rows = MemoryRows()
    ledger = Ledger(rows, most=1_000, **BOUNDS)
    for fact, arrived_at in facts(story):
        ledger.fold(fact, arrived_at)
        ledger.flush()
        ledger.turn_to(rows)
    once = play(story)

    assert ledger.book.staying
    for day in range(2, 10):
        at = once.now - day * 12 * HOUR
        assert ledger.balances("acme", at) == Ledger(rows, **BOUNDS).balances("acme", at)
        assert ledger.balances("acme", at) == once.ledger.balances("acme", at)


class Next:
    """The rows of the next batch: over the same tables, and the ones before are closed."""

    def __init__(self, before: "Next | None" = None) -> None:
        self.is_closed = False
        self.rows: MemoryRows = MemoryRows() if before is None else before.rows
        if before is not None:
            before.is_closed = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            assert not self.is_closed, "the rows of a batch that is over"
            return getattr(self.rows, name)(*arguments)

        return call


def test_a_batch_reads_and_writes_its_own_rows() -> None:
    batch = Next()
    ledger = Ledger(batch, most=1_000, **BOUNDS)
    for fact, arrived_at in facts("grant ours 10\nburn 1 at 06-02\nburn 1 at 06-03\nburn 1 at 06-04"):
        ledger.fold(fact, arrived_at)
        ledger.flush()
        batch = Next(batch)
        ledger.turn_to(batch)

    assert ledger.balances("acme", facts("tick 06-05\nburn 1 at 06-05")[-1][1])[0].balance == 7 * UNIT


def of(customer_id: str, said: list[tuple[AnyFact, Instant]], ledger: Ledger) -> None:
    for fact, arrived_at in said:
        ledger.fold(msgspec.structs.replace(fact, customer_id=customer_id), arrived_at)
    ledger.flush()


@pytest.mark.parametrize(("customers", "staying"), [(3, 3), (4, 4), (5, 2), (6, 3), (7, 4), (8, 2)])
def test_half_of_what_stays_goes_when_there_is_more_than_may(customers: int, staying: int) -> None:
    """Of each customer three rows stay: itself, its account and its pool's scope. Who came first goes first."""
    ledger = Ledger(MemoryRows(), most=12, **BOUNDS)
    for number in range(customers):
        of(f"c{number}", facts("grant ours 10\nburn 1 at 06-01"), ledger)
        of(f"c{number}", facts("grant ours 10\nburn 1 at 06-01\nburn 2 at 06-02 id more")[-1:], ledger)

    assert len(ledger.book.staying) == 3 * staying
    named = [key[1:3].decode() for key in ledger.book.staying if key[:1] == b"C"]
    assert named == [f"c{number}" for number in range(customers - staying, customers)]


def test_nobody_stays_at_hand_of_whom_more_came_than_burns() -> None:
    ledger = Ledger(MemoryRows(), most=12, **BOUNDS)
    story = play("grant ours 10\nburn 1 at 06-01\nburn 1 at 06-02", ledger)
    ledger.flush()
    assert not ledger.book.staying
    play_on(story, "burn 1 at 06-03")
    ledger.flush()
    assert ledger.book.staying
    play_on(story, "grant more 1")
    ledger.flush()
    assert not ledger.book.staying


def test_nobody_stays_at_hand_of_whom_something_that_had_waited_was_folded() -> None:
    ledger = Ledger(MemoryRows(), most=12, **BOUNDS)
    story = play("contract c from 2026-01-01 until 06-10\ngrant ours 10\nburn 1 at 06-01\ntake back b at 06-02", ledger)
    ledger.flush()
    play_on(story, "burn 1 at 06-02 on c id b")
    ledger.flush()
    assert story.balance() == "9" and not ledger.book.staying
    play_on(story, "burn 1 at 06-12 anywhere")
    ledger.flush()
    play_on(story, "burn 1 at 06-12 on c\ntick 06-13")
    ledger.flush()
    assert story.overage() == "2" and not ledger.book.staying


@pytest.mark.parametrize("later", [4, MOST_READ, MOST_READ + 1])
def test_a_burn_before_many_others_is_told_who_paid_it(later: int) -> None:
    """L5, L16: own credits pay what was burned first, whenever it arrives."""
    ledger = Ledger(MemoryRows(), **BOUNDS)
    own = 2 * later
    lines = [
        "contract c from 2026-01-01",
        "subscription team seats ana",
        f"grant own {own} to seat ana from 06-01 until 06-07",
        "grant ours 1000 from 06-01",
        "burn 4 by ana at 06-02",
        *(f"burn 3 by ana at 06-04T{n // 60:02}:{n % 60:02}" for n in range(later)),
        f"burn {own - 2} by ana at 06-03",
        "burn 1 by ana at 06-02T12:00",
        "burn 5 by ana at 06-03T12:00",
    ]
    outcomes = [ledger.fold(fact, arrived_at) for fact, arrived_at in facts("\n".join(lines))]

    told = [outcome.result["paid"] for outcome in outcomes[-3:] if isinstance(outcome, Folded)]
    paid = [[(name, amount // UNIT) for name, _, amount, _ in each] for each in told]
    assert paid == [[("own", own - 4), ("ours", 2)], [("own", 1)], [("ours", 5)]]

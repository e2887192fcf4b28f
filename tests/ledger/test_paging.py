"""What is answered a few at a time is what is answered at once, wherever the pages are cut."""

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ledger import desks, paging
from ledger.amounts import UNIT
from ledger.answers import Entry
from ledger.instants import DAY, FOREVER, ORIGIN, Instant, instant
from ledger.ledger import Ledger
from ledger.order import Place
from tests.ledger.histories import HISTORY, History
from tests.ledger.histories import play as play_history
from tests.ledger.language import BOUNDS, facts, play
from tests.ledger.memory import Counting, MemoryRows
from tests.ledger.test_laws import horizon, on_drawn_histories

P = TypeVar("P")
R = TypeVar("R")


def paged(ask: Callable[[P | None], Iterator[tuple[P, R | None]]], size: int) -> list[R]:
    """All rows, asking anew behind every `size` places."""
    rows: list[R] = []
    behind = None
    while True:
        looked = list(islice(ask(behind), size))
        rows += [row for _, row in looked if row is not None]
        if len(looked) < size:
            return rows
        behind = looked[-1][0]


@on_drawn_histories(30)
def test_pages_of_balances_are_the_balances(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    size = rng.choice((1, 2, 5))
    for customer_id in ledger.customers():
        for at in (horizon(history), rng.choice(history)[0].time, rng.choice(history)[1] + 1):
            named: dict[str, Any] = rng.choice(
                [{}, {"credit_type": "tokens"}, {"credit_type": "credits"}]
                + [{"contract_id": each} for each in ledger.contracts(customer_id)]
            )
            found = paged(lambda last: desks.balances(ledger.book, customer_id, at, behind=last, **named), size)  # noqa: B023
            whole = ledger.balances(customer_id, at, **named)
            # The wire's order is the same but for the kinds of seats, which are by number here.
            assert sorted((row.balance for row in found), key=repr) == sorted(whole, key=repr)
            if not named:
                assert list(desks.pools(ledger.book, customer_id, at)) == [
                    row for row in whole if row.scope.seat_id is None
                ]
            few = rng.sample(("ana", "bo", "cy", "nobody"), 2)
            searched = desks.balances(ledger.book, customer_id, at, search="A")
            with_a = [row for row in ledger.balances(customer_id, at) if "a" in (row.scope.seat_id or "")]
            assert sorted((row.balance for _, row in searched if row), key=repr) == sorted(with_a, key=repr)
            of_few = desks.balances(ledger.book, customer_id, at, seat_ids=few, **named)
            wanted = [row for row in whole if row.scope.seat_id in few]
            assert sorted((row.balance for _, row in of_few if row), key=repr) == sorted(wanted, key=repr)


@on_drawn_histories(30)
def test_what_a_desk_answers_does_not_depend_on_what_it_was_asked_before(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    for customer_id in ledger.customers():
        at = rng.choice([horizon(history), rng.choice(history)[0].time])
        desk = desks.Desk(ledger.book, customer_id, at)
        for _ in range(6):
            asks: list[dict[str, Any]] = [
                {}, {"credit_type": "tokens"}, {"credit_type": "gems"}, {"active": (ORIGIN, horizon(history))},
                {"seat_ids": rng.sample(("ana", "bo", "cy", "nobody"), 2)}, {"search": "a"},
            ]  # fmt: skip
            named = rng.choice(asks + [{"contract_id": each} for each in ledger.contracts(customer_id)])
            alone = list(desks.balances(ledger.book, customer_id, at, **named))
            # A page may end before the last row.
            some = rng.choice((1, 3, len(alone)))
            assert list(islice(desk.balances(**named), some)) == alone[:some]


@on_drawn_histories(20)
def test_what_a_seat_may_draw_on_is_what_would_pay(history: History, rng: random.Random) -> None:
    """`available` of a row is as much as a burn could be covered with, not a billionth more."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    at = rng.choice([horizon(history), rng.choice(history)[0].time])
    for customer_id in ledger.customers():
        for _, row in desks.balances(ledger.book, customer_id, at):
            if row is None or row.available is None:
                continue
            covered, payers = ledger.available(row.balance.scope, at, row.available + 1)
            assert not covered and sum(amount for _, _, amount in payers) == row.available


@on_drawn_histories(20)
def test_pages_of_who_sits_where_are_the_holders(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    size, at = rng.choice((1, 2, 5)), rng.choice([horizon(history), rng.choice(history)[0].time])
    for customer_id in ledger.customers():
        found = paged(lambda last: paging.sittings(ledger.book, customer_id, at, behind=last), size)  # noqa: B023
        whole = [
            (contract_id, counts.subscription_id, seat_id)
            for contract_id in ledger.contracts(customer_id)
            for counts in ledger.counts(customer_id, contract_id, at)
            for seat_id in ledger.holders(customer_id, contract_id, counts.subscription_id, at)
        ]
        assert [(each.contract_id, each.subscription_id, each.seat_id) for each in found] == whole
        assert all(each.since <= at for each in found)


@on_drawn_histories(20)
def test_pages_of_lines_are_the_lines(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    size = rng.choice((1, 3))
    since, until = sorted(rng.choice([horizon(history), rng.choice(history)[0].time]) for _ in range(2))
    for customer_id in ledger.customers():
        whole = [line for line in ledger.entries(customer_id, until) if since <= line.time < until]
        filters: list[dict[str, Any]] = [
            {}, {"seat_id": "ana"}, {"credit_type": "tokens"}, {"seat_id": "bo", "credit_type": "credits"},
        ] + [{"contract_id": each} for each in ledger.contracts(customer_id)]  # fmt: skip
        for named in filters:
            found = paged(
                lambda last: paging.lines(
                    ledger.book,
                    customer_id,  # noqa: B023
                    (since, until),
                    behind=last,
                    wanted=size,
                    **named,  # noqa: B023
                ),
                size,
            )
            seat_id, credit_type, contract_id = (named.get(name) for name in ("seat_id", "credit_type", "contract_id"))
            assert found == [
                line
                for line in whole
                if seat_id in (None, line.scope.seat_id)
                and credit_type in (None, line.scope.credit_type)
                and contract_id in (None, line.scope.contract_id)
            ]


@on_drawn_histories(30)
def test_lines_that_are_there_throughout_are_told_once_while_facts_come(history: History, rng: random.Random) -> None:
    """Late ones too, which change who paid for what was told already and what comes after it: of all, and of a seat."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    some = len(history) // 3
    play_history(ledger, history[:some])
    within, waiting = (ORIGIN, horizon(history)), list(history[some:])
    customer_id = history[0][0].customer_id
    named: dict[str, Any] = rng.choice([{}, {"seat_id": "ana", "payers": True}, {"seat_id": "bo"}])

    def lines(behind: Place | None, count: int | None = None) -> list[tuple[Place, Entry | None]]:
        return list(islice(paging.lines(ledger.book, customer_id, within, behind=behind, wanted=3, **named), count))

    def ids_of_all() -> set[str]:
        return {line.entry_id for _, line in lines(None) if line is not None}

    told: list[Entry] = []
    place = None
    throughout = ids_of_all()
    while page := lines(place, 3):
        told += [line for _, line in page if line is not None]
        place = page[-1][0]
        play_history(ledger, waiting[:2])
        del waiting[:2]
        throughout &= ids_of_all()
    ids = [line.entry_id for line in told]
    assert throughout <= set(ids)
    assert all(ids.count(each) == 1 for each in throughout)


@on_drawn_histories(20)
def test_pages_of_segments_follow_each_other(history: History, rng: random.Random) -> None:
    """And say how many there were as `counts` does."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    for customer_id in ledger.customers():
        ask: Callable[[Any], Any] = lambda last: paging.segments(  # noqa: E731
            ledger.book,
            customer_id,  # noqa: B023
            (ORIGIN, FOREVER),
            behind=last,
        )
        placed = list(ask(None))
        assert paged(ask, rng.choice((1, 2))) == [segment for _, segment in placed]
        for (contract_id, subscription_id, at), segment in placed:
            [counts] = [
                each for each in ledger.counts(customer_id, contract_id, at) if each.subscription_id == subscription_id
            ]
            assert (segment.quantity, segment.assigned) == (counts.total, counts.assigned)


def test_customers_are_found_by_a_part_of_their_id() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play("burn 1 at 01-02 id b1", ledger)
    ledger.flush()

    assert [id for id, who in paging.customers(ledger.book, search="CM") if who is not None] == ["acme"]
    assert not [id for id, who in paging.customers(ledger.book, search="cn") if who is not None]
    assert not list(paging.customers(ledger.book, behind="acme"))


def test_a_grant_says_that_it_is_still_to_come_or_over() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play(
        """
        grant spring 10 until 06-01
        grant summer 20 from 06-01 until 09-01
        """,
        ledger,
    )
    ledger.flush()
    at: Instant = instant("2026-07-01T00:00:00Z")
    year = instant("2026-01-01T00:00:00Z"), instant("2027-01-01T00:00:00Z")

    def grants(active: tuple[Instant, Instant] | None, at: Instant = at) -> dict[str, int]:
        rows = desks.balances(ledger.book, "acme", at, contract_id="c", active=active)
        return {
            held.grant_id: held.balance // 10**9 for _, row in rows if row is not None for held in row.balance.grants
        }

    assert grants(None) == {"summer": 20}
    assert grants(year) == {"spring": 0, "summer": 20}
    assert grants(year, year[0]) == {"spring": 10, "summer": 20}


def test_a_page_of_many_seats_reads_a_page() -> None:
    """However many there are before it and after it."""
    costs = []
    for count in (100, 1_000):
        rows = Counting()
        ledger = Ledger(rows, **BOUNDS)
        names = " ".join(f"seat-{n:05}" for n in range(count))
        play(f"subscription team seats {names}\nrecurring monthly 10 per seat of team every P1M", ledger)
        ledger.flush()
        at = instant("2026-01-20T00:00:00Z")
        behind = desks.BalancePlace("credits", "c", 0, "seat-00050")
        rows.forget()
        page = list(islice(desks.balances(ledger.book, "acme", at, behind=behind), 10))
        assert [place.seat_id for place, _ in page] == [f"seat-{n:05}" for n in range(51, 61)]
        costs.append(rows.count)
    assert costs[0] == costs[1] < 120, costs


def test_a_seat_is_held_from_the_first_instant_of_its_subscription_until_before_the_last() -> None:
    story = play("contract c from 06-01 until 06-10\nsubscription team seats ana")
    ledger: Any = story.ledger

    def held(at: str) -> list[str]:
        found = paging.sittings(ledger.book, "acme", instant(f"2026-{at}Z"))
        return [place.seat_id for place, sitting in found if sitting is not None]

    assert [held(at) for at in ("05-31T23:59:59", "06-01T00:00:00", "06-09T23:59:59", "06-10T00:00:00")] == [
        [],
        ["ana"],
        ["ana"],
        [],
    ]


def test_a_grant_of_which_nobody_said_what_it_is_is_a_credit() -> None:
    story = play("grant ours 10\nrecurring monthly 5 to pool every P1M")
    ledger: Any = story.ledger
    [pool] = ledger.balances("acme", story.now + 1)

    assert [desks.kind_of(ledger.book, "acme", "c", grant) for grant in pool.grants] == ["credit", "credit"]


def test_the_lines_of_a_seat_of_two_contracts_come_in_one_order() -> None:
    story = play("""
        contract c from 06-01
        grant own 10 to seat ana
        contract d from 06-01
        grant more 10 to seat ana
        burn 1 by ana at 06-02 on c
        burn 2 by ana at 06-03 on d
        burn 3 by ana at 06-04 on c
    """)
    ledger: Any = story.ledger
    found = paging.lines(ledger.book, "acme", (story.now - 2 * DAY, story.now + 1), seat_id="ana")

    assert [entry.amount // UNIT for _, entry in found if entry is not None] == [-1, -2, -3]


def test_who_was_only_reset_is_known() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for fact, arrived_at in facts("reset customer at 06-01")[-1:]:
        ledger.fold(fact, arrived_at)

    assert [id for id, who in paging.customers(ledger.book) if who is not None] == ["acme"] == ledger.customers()


def test_lines_behind_a_crowd_say_what_is_left_after_it() -> None:
    """Though somebody had lines before it, and more are taken than were wanted."""
    story = play("""
        contract c from 05-01
        subscription team seats ana bo cy di eva
        recurring monthly 10 per seat of team every P1M for 2 periods
        burn 1 by ana at 05-30
        burn 2 by ana at 06-02
    """)
    ledger: Any = story.ledger
    within = instant("2026-05-29T00:00:00Z"), instant("2026-06-03T00:00:00Z")
    whole = ledger.entries("acme", within[1], since=within[0])
    found = paging.lines(ledger.book, "acme", within, wanted=2)

    assert [entry for _, entry in found if entry is not None] == whole
    assert [entry.balance_after // UNIT for entry in whole if entry.type == "burned"] == [9, 17]

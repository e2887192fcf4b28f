"""The lines of an account, a time of it or a page of it: the same lines, and what they cost is what they tell."""

import random
from typing import Any

import pytest

from ledger import entries, history
from ledger.amounts import UNIT
from ledger.answers import Entry
from ledger.facts import SEAT_ID
from ledger.grants import Holder
from ledger.instants import HOUR, ORIGIN, Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import Scope
from ledger.telling import Wanted
from tests.ledger.duel import in_pages
from tests.ledger.histories import HISTORY, History
from tests.ledger.histories import play as play_history
from tests.ledger.language import BOUNDS, play
from tests.ledger.memory import Counting, MemoryRows
from tests.ledger.test_laws import horizon, on_drawn_histories

CUSTOMER = "acme"


@on_drawn_histories(60)
def test_a_time_of_an_account_has_the_lines_that_the_whole_has_of_it(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    for customer_id in ledger.customers():
        for _ in range(4):
            since, until = sorted(rng.choice(_instants(history)) for _ in range(2))
            whole = ledger.entries(customer_id, until)
            assert ledger.entries(customer_id, until, since=since) == [line for line in whole if line.time >= since]
            for scope in rng.sample(scopes := sorted({line.scope for line in whole}, key=repr), min(3, len(scopes))):
                found = ledger.entries(customer_id, until, scope=scope, since=since)
                assert found == [line for line in whole if line.time >= since and line.scope == scope]


@on_drawn_histories(40)
def test_pages_come_to_the_whole(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    until = horizon(history)
    for customer_id in ledger.customers():
        assert in_pages(ledger, customer_id, until, rng.choice((1, 2, 3, 7))) == ledger.entries(customer_id, until)


@on_drawn_histories(60)
def test_a_scope_has_the_lines_that_the_whole_account_has_of_it(history: History, rng: random.Random) -> None:
    """As a whole and in pages; also of a scope that has none."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    until = rng.choice([horizon(history), *_instants(history)])
    for customer_id in ledger.customers():
        whole = ledger.entries(customer_id, until)
        assert len({line.entry_id for line in whole}) == len(whole)
        scopes = sorted({row.scope for row in ledger.balances(customer_id, until)}, key=repr)
        cut = rng.choice(scopes) if scopes else None
        for scope in scopes:
            of_it = [line for line in whole if line.scope == scope]
            assert ledger.entries(customer_id, until, scope=scope) == of_it
            if scope == cut:
                assert in_pages(ledger, customer_id, until, rng.choice((2, 5)), scope) == of_it


@on_drawn_histories(40)
def test_the_last_lines_are_the_end_of_all_lines(history: History, rng: random.Random) -> None:
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    for customer_id in ledger.customers():
        until = rng.choice(_instants(history))
        for scope in sorted({row.scope for row in ledger.balances(customer_id, until)}, key=repr):
            since, count = rng.choice([ORIGIN, *_instants(history)]), rng.choice((1, 2, 5))
            whole = entries.entries(ledger.book, customer_id, until, scope=scope, since=since, payers=True)
            last = entries.last_entries(ledger.book, until, count, scope, since)
            assert last == whole[-count:]


@on_drawn_histories(60)
def test_a_curve_goes_through_the_balances(history: History, rng: random.Random) -> None:
    """Of seats and pools, with debts and without; and what was burned between two points is what the lines say."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    for customer_id in ledger.customers():
        until = horizon(history)
        for scope in sorted({row.scope for row in ledger.balances(customer_id, until)}, key=repr):
            times = sorted({rng.choice(_instants(history)) for _ in range(6)} | {until})
            curve = ledger.curve(customer_id, scope, times)
            alone = [ledger.balance(scope, at) for at in times]
            assert [(each.balance, each.granted) for each in curve] == [(each.balance, each.granted) for each in alone]
            lines = [line for line in ledger.entries(customer_id, until, scope=scope) if line.time < until]
            since = ORIGIN
            for point in curve:
                between = [line for line in lines if since <= line.time < point.time]
                assert point.burned == -sum(line.amount for line in between if line.type == "burned")
                assert point.overage == sum(line.beside for line in between if line.type == "overage")
                since = point.time
            # From the middle of it on, as if nobody had asked for what came before.
            first = rng.randrange(len(times))
            later = entries.curve(ledger.book, customer_id, scope, times[first + 1 :], times[first])
            assert later == curve[first + 1 :]


def _instants(history: History) -> list[Instant]:
    known = sorted({fact.time for fact, _ in history} | {arrived_at for _, arrived_at in history} | {horizon(history)})
    return [*known, *(at + 1 for at in known), *(at - 1 for at in known)]


def test_a_page_goes_on_where_the_line_before_it_is_gone() -> None:
    """The burn that was told last was taken back since: nothing after it is left out."""
    story = "grant ours 100 from 01-01 \n" + "\n".join(f"burn {n} at 01-02 id b{n}" for n in range(1, 6))
    first = play(story).ledger
    assert isinstance(first, Ledger)
    before = first.entries(CUSTOMER, _at("01-03"), limit=3)
    after = play(story + "\n take back b2").ledger
    assert isinstance(after, Ledger)
    assert [line.cause_id for line in before] == ["grant-001", "b1", "b2"]
    assert [line.cause_id for line in after.entries(CUSTOMER, _at("01-03"), behind=before[-1], limit=3)] == [
        "b3",
        "b4",
        "b5",
    ]


@pytest.mark.heavy
def test_a_page_costs_what_it_tells() -> None:
    """However much was burned before, by however many, and however much comes after."""
    costs = []
    for many in (20, 400):
        rows = Counting()
        ledger = Ledger(rows, **BOUNDS)
        names = " ".join(f"s{n}" for n in range(many))
        burns = "\n".join(f"burn 0.01 by s{n} at 02-{1 + n % 28:02}T{n % 24:02}:00 id b{n}" for n in range(many))
        late = "\n".join(f"burn 0.01 by s1 at 03-15T{n:02}:30 id late{n}" for n in range(24))
        after = "\n".join(f"burn 0.01 by s{n} at 03-{17 + n % 10}T{n % 24:02}:00 id after{n}" for n in range(many))
        play(
            f"subscription team seats {names}\nrecurring monthly 10 per seat of team every P1M\n"
            f"recurring ours 10 per unit of team every P1M\n{burns}\n{late}\n{after}",
            ledger,
        )
        ledger.flush()
        rows.forget()
        told = ledger.entries(CUSTOMER, _at("03-30"), since=_at("03-15"), limit=10)
        assert [line.cause_id for line in told] == [f"late{n}" for n in range(10)]
        costs.append([rows.count])
        rows.forget()
        told = ledger.entries(CUSTOMER, _at("03-30"), scope=Scope(customer_id=CUSTOMER, contract_id="c", seat_id="s1"))
        assert [line.type for line in told].count("burned") == 26
        costs[-1].append(rows.count)
    assert all(after <= before + 5 and before < 300 for before, after in zip(*costs, strict=True)), costs


def test_a_page_of_a_crowd_that_is_given_something_each_hour_tells_one_hour() -> None:
    """All that happened within a hundred hours was told for one page, which took too long."""
    names = " ".join(f"s{n:02}" for n in range(40))
    ledger: Any = play(
        f"contract c from 02-01 bringing\nsubscription team seats {names}\n"
        "recurring hourly 1 per seat of team every PT1H\ntick 02-08"
    ).ledger

    page = ledger.entries(CUSTOMER, _at("02-08"), since=_at("02-01"), limit=30)
    assert [line.scope.seat_id for line in page] == names.split()[:30]
    # The last ten of the first hour; then the first hour's end for twenty.
    last = ledger.entries(CUSTOMER, _at("02-08"), behind=page[-1], limit=30)
    assert [(line.type, line.balance_after // UNIT) for line in last] == [("granted", 1)] * 10 + [("expired", 0)] * 20

    scratch, who = history.look(ledger.book, CUSTOMER)
    assert who is not None
    # What happens to all of them at once is told by itself, a few at a time.
    for whose, hours in ((None, 0), (Holder(1, "s01", SEAT_ID), 30)):
        wanted = Wanted(CUSTOMER, who.credit_types, whose, 30)
        assert entries._window(scratch, who, wanted, _at("02-01"), _at("02-08"), 30) == _at("02-01") + hours * HOUR


def test_the_curve_of_a_seat_that_burns_all_day_costs_its_burns_once() -> None:
    """However many points it goes through: its page did not open any more."""
    rows = Counting()
    ledger = Ledger(rows, **BOUNDS)
    burns = "\n".join(f"burn 0.01 by ana at 02-{1 + n // 24:02}T{n % 24:02}:00 id b{n}" for n in range(480))
    play(f"subscription team seats ana\nrecurring monthly 10 per seat of team every P1M\n{burns}", ledger)
    ledger.flush()
    ana = Scope(customer_id=CUSTOMER, contract_id="c", seat_id="ana")
    times = [_at("02-02") + n * 6 * HOUR for n in range(72)]

    rows.forget()
    told = [each.balance // (UNIT // 100) for each in history.balances_of(ledger.book, ana, times)]
    assert told[:3] == [1000 - 24, 1000 - 30, 1000 - 36] and rows.count < 480 + 72 * 10


def test_the_curve_of_a_pool_costs_the_burns_of_its_time_once() -> None:
    """However many points it goes through, and however much was burned before: each point added up all burns anew."""
    costs = []
    for before, points in ((0, 2), (0, 80), (400, 80)):
        rows = Counting()
        ledger = Ledger(rows, **BOUNDS)
        early = "\n".join(f"burn 0.01 by s{n % 20} at 01-{2 + n % 20:02}T{n % 24:02}:30 id e{n}" for n in range(before))
        burns = "\n".join(f"burn 0.01 by s{n % 20} at 02-{1 + n // 24:02}T{n % 24:02}:00 id b{n}" for n in range(240))
        play(f"grant ours 100 until 02-01\ngrant more 100 from 02-01\n{early}\n{burns}", ledger)
        ledger.flush()
        pool = Scope(customer_id=CUSTOMER, contract_id="c")
        times = [_at("02-01") + n * 10 * 24 * HOUR // points for n in range(points + 1)]
        rows.forget()
        told = ledger.curve(CUSTOMER, pool, times)
        assert sum(each.burned for each in told) == 240 * UNIT // 100 + before * UNIT // 100
        assert told[-1].balance == 100 * UNIT - 240 * UNIT // 100
        rows.forget()
        entries.curve(ledger.book, CUSTOMER, pool, times, times[0])
        costs.append(rows.count)
    few, many, late = costs
    assert few < 240 * 3 and many < few + 80 * 8 and late <= many + 20, costs


def test_each_line_of_a_page_says_the_balance_after_it() -> None:
    ledger = play("grant ours 10 from 01-01 \n burn 1 at 01-02 \n burn 2 at 01-03 \n burn 3 at 01-04").ledger
    assert isinstance(ledger, Ledger)
    page: list[Entry] = ledger.entries(CUSTOMER, _at("01-05"), since=_at("01-03"), limit=5)
    assert [line.balance_after // 10**9 for line in page] == [7, 4]


def _at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


# --- by pencil -------------------------------------------------------------------------------------------------------


def test_every_cut_of_an_account_has_the_lines_that_the_whole_has_of_it() -> None:
    """Cut at and after what happens, for all and for a scope, and in pages."""
    story = play("""
        contract d from 06-01
        grant ds 5
        burn 1 at 06-03
        contract c carry from 06-01 until 07-20
        subscription team seats ana bo revoking
        recurring monthly 10 per seat of team every P1M
        recurring shared 4 per unit of team every P1M
        grant weekly 2 to customer every P1W from 06-02
        grant anas 3 to seat ana from 06-04 until 06-20
        burn 12 by ana at 06-05
        burn 9 by bo at 06-05
        burn 1 at 06-06
        add cy at 06-08
        adjust monthly by -30 seat cy at 06-09
        adjust anas by 2 seat cy at 06-10
        reset at 06-11
        burn 11 by bo at 06-12
        move bo to di carrying at 06-13
        remove ana at 06-14
        add ana at 06-16
        burn 4 by di at 06-17
        void weekly customer at 06-25
        burn 2 by ana at 07-02
        tick 08-01
    """)
    ledger: Any = story.ledger

    whole = ledger.entries(CUSTOMER, story.now)
    scopes = {line.scope for line in whole}
    times = {line.time for line in whole}
    assert (len(scopes), len(times)) == (7, 18)
    for since in sorted(times | {at + 1 for at in times})[::3]:
        later = [line for line in whole if line.time >= since]
        assert ledger.entries(CUSTOMER, story.now, since=since) == later
        scope = later[0].scope if later else whole[0].scope
        of_it = [line for line in later if line.scope == scope]
        assert ledger.entries(CUSTOMER, story.now, since=since, scope=scope) == of_it
        assert ledger.entries(CUSTOMER, story.now, since=since, scope=scope, limit=3) == of_it[:3]
    assert in_pages(ledger, CUSTOMER, story.now, 5) == whole


def test_what_a_pool_paid_for_a_seat_is_told_once_beside_its_own_lines() -> None:
    story = play("""
        contract c from 06-01
        grant ours 10
        burn 4 by ana at 06-02
        burn 8 by ana at 06-03
    """)
    ledger: Any = story.ledger
    ana = Scope(customer_id=CUSTOMER, contract_id="c", seat_id="ana")

    lines = entries.entries(ledger.book, CUSTOMER, story.now + 1, scope=ana, payers=True)

    assert [(line.type, line.amount // UNIT, line.beside // UNIT) for line in lines] == [
        ("burned", -4, 0),
        ("burned", -6, 0),
        ("overage", 0, 2),
    ]


def test_the_last_lines_of_a_scope_are_the_last_of_all_its_lines() -> None:
    """With who paid for them, however few or many they are; and of whom nothing is known, none."""
    ledger: Any = play("""
        contract c from 06-01
        subscription team seats ana bo
        grant ours 10 priority 5
        grant own 2 to seat ana priority 1
        burn 1 at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-04
        burn 1 by ana at 06-05
        burn 1 by ana at 06-06
        burn 1 by bo at 06-07
        grant bos 9 to seat bo priority 1
        burn 2 by bo at 06-08
        burn 2 by bo at 06-09
    """).ledger
    until = _at("06-10")
    for seat_id in ("ana", "bo", None):
        scope = Scope(customer_id=CUSTOMER, contract_id="c", seat_id=seat_id)
        whole = entries.entries(ledger.book, CUSTOMER, until, scope=scope, payers=True)
        for count in (1, 2, 3, 4, 5, 9):
            assert entries.last_entries(ledger.book, until, count, scope) == whole[-count:]

    assert entries.last_entries(ledger.book, until, 3, Scope(customer_id="brook", contract_id="c", seat_id="ana")) == []
    assert (
        entries.last_entries(ledger.book, until, 3, Scope(customer_id=CUSTOMER, contract_id="d", seat_id="ana")) == []
    )

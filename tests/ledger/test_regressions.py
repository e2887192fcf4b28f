"""One test for each fault that we had ourselves, named after what a user would have seen."""

import os
import subprocess
import sys

import msgspec
import pytest

from ledger.amounts import UNIT
from ledger.facts import (
    AddSeats,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    CreditBurn,
    CreditsGranted,
    Grant,
    SeatChange,
    SeatName,
    SubscriptionChanges,
    SubscriptionUpdated,
)
from ledger.instants import DAY, FOREVER, HOUR, instant
from ledger.ledger import NAMES, Ledger
from ledger.outcome import Folded, Refused, Repeated, Scope, Waiting
from ledger.stretches import SCOPE
from tests.ledger.duel import in_pages
from tests.ledger.language import BOUNDS, Play, play_on
from tests.ledger.language import play as play_on_engine
from tests.ledger.memory import MemoryRows


def test_a_late_burn_before_a_carried_move_is_missing_at_who_it_was_carried_to(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats cy
        grant ours 100 to seat cy
        move cy to ana carrying at 06-03
        burn 10 by ana at 06-04
        burn 40 by cy at 06-02
    """)

    assert story.left("ana") == {"ours": "50"}


def test_a_debt_that_was_carried_to_a_seat_without_burns_is_paid_by_the_next_grant(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats cy
        burn 10 by cy at 06-02
        move cy to ana carrying at 06-03
        grant ours 4 from 06-05 to pool
    """)

    assert [story.overage(who) for who in ("ana", "cy")] == ["6", "0"]


def test_a_balance_is_carried_to_one_seat_when_two_moves_of_one_instant_ask_for_it(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats cy
        subscription club seats cy
        grant ours 100 to seat cy
        move cy to ana carrying of team at 06-03
        move cy to bo carrying of club at 06-03
    """)

    assert [story.balance(who) for who in ("ana", "bo", "cy")] == ["100", "0", "0"]


def test_a_seat_that_returns_by_a_move_said_later_has_what_its_removal_revoked(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo revoking
        recurring monthly 100 per seat of team every P1M
        remove bo at 06-10
        burn 5 by bo at 06-11
        add bo at 06-20
    """)

    assert story.left("bo") == {"monthly": "100"}


# --- carried moves, debts and late edits -----------------------------------------------------------------------------


def test_a_grant_said_late_reaches_who_it_was_carried_to_though_its_seat_never_burned(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats di
        move di to bo carrying at 06-09
        burn 7 by bo at 06-09
        grant late 7 to seat di from 06-05 said 06-15
    """)

    assert story.left("bo") == {"late": "0"}
    assert story.overage("bo") == "0"


def test_a_burn_at_the_very_instant_of_a_carried_move_comes_after_it(play: Play) -> None:
    """And changes nothing of what was carried, whoever burns."""
    story = play("""
        contract c from 06-01
        subscription team seats cy
        grant shared 7 from 06-01
        burn 5 at 06-02
        move cy to bo carrying at 06-06
        burn 5 by cy at 06-06
    """)

    assert [story.balance(), story.overage("cy"), story.overage("bo")] == ["0", "3", "0"]


def test_a_grant_given_back_at_the_instant_of_a_carried_move_stays_with_its_seat(play: Play) -> None:
    """Moves come before what is given back (D2)."""
    story = play("""
        contract c from 06-01
        subscription team seats di revoking
        recurring monthly 10 per seat of team every P1M
        set cy at 06-10
        add di and move di to bo carrying and move cy to di at 06-11
    """)

    assert story.left("di") == {"monthly": "10"}


def test_a_seat_that_needs_less_of_the_pool_gives_it_back_beyond_a_stretch_where_nothing_changed(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats di
        grant own 20 to seat di from 06-03 rollover min 2 max 4
        void own at 06-05
        burn 1 by di at 06-11
        grant all 10 to customer from 06-17
        reset at 06-19
        burn 1 at 06-20 id first
        burn 10 by di at 06-20 id second
        void own at 07-05
    """)

    assert story.balance("customer") == "3"
    assert [story.balance("di", "06-21"), story.overage("di")] == ["0", "0"]


def test_a_debt_that_was_carried_looks_back_to_what_could_have_paid_it(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        subscription team seats x
        grant old 5 to seat y from 01-05 until 01-20
        burn 10 by x at 01-02
        move x to y carrying at 01-10
        grant new 1 to seat y from 01-30
        burn 1 by y at 01-30T01:00
    """)

    assert story.overage("y") == "5"


def test_an_adjustment_counts_once_for_a_seat_with_two_slices_of_one_number(play: Play) -> None:
    """One of its own, one that was carried to it."""
    story = play("""
        contract c from 06-01
        subscription team seats x y
        recurring monthly 100 per seat of team every P1M
        remove y at 06-02
        move x to y carrying at 06-03
        adjust monthly by 5 seat y at 06-04
    """)

    assert story.balance("y") == "205"


def test_what_was_carried_from_two_seats_of_two_subscriptions_at_one_instant_is_both_there(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats x
        subscription club seats w
        grant gx 100 to seat x
        grant gw 30 to seat w
        move x to z carrying in team and move w to z carrying in club at 06-08
        burn 110 by z at 06-09
    """)

    assert [story.balance("z"), story.overage("z")] == ["20", "0"]


def test_two_ways_by_which_one_grant_came_are_two_grants_whatever_seats_are_called(play: Play) -> None:
    """The seat that is called as if it were a way has a grant of its own."""
    at = instant("2026-06-05T00:00:00Z")
    story = play(f"""
        contract c from 06-01
        subscription team seats y y@{at}>x
        subscription club seats y@{at}>x
        recurring monthly 100 per seat of team every P1M
        move y to x carrying in team at 06-05
        move x to z carrying in team and move y@{at}>x to z carrying in club at 06-07
        burn 150 by z at 06-08
    """)

    assert [story.balance("z"), story.overage("z")] == ["50", "0"]


def test_burns_taken_back_leave_a_late_burn_its_place(play: Play) -> None:
    story = play("""
        contract c from 01-01
        subscription team seats s
        grant first 10 to seat s priority 1
        grant then 100 to seat s priority 2
        burn 10 by s at 01-01T10:00 id b1
        burn 1 by s at 01-01T22:00 id b2
        burn 1 by s at 01-01T23:00 id b3
        burn 1 by s at 01-02 id b4
        burn 1 by s at 01-02T01:00 id b5
        take back b2 said 01-03
        take back b3 said 01-03
        take back b4 said 01-03
        take back b5 said 01-03
        burn 10 by s at 01-01T05:00 id late
    """)

    assert story.paid("late") == ["10 of first"]


def test_an_emptied_stretch_does_not_outlive_the_end_of_its_contract(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        subscription team seats p
        recurring own 3 every P5D
        burn 2 by p at 01-11 id b
        take back b at 01-12
        end contract at 01-10 said 01-13
        burn 4 by p at 01-12 said 01-14
    """)

    assert story.overage("p") == "0"


# --- voids, adjustments, charges -------------------------------------------------------------------------------------


def test_a_void_means_the_slice_that_the_contract_let_start(play: Play) -> None:
    """The slice at the contract's end never started, so that a later void lifts the first."""
    story = play("""
        contract c from 06-01 until 06-11
        recurring weekly 10 to pool every P10D
        void weekly at 06-05
        void weekly at 06-20
    """)

    assert story.left(at="06-06") == {"weekly": "10"}


def test_a_slice_that_starts_before_its_contract_is_not_voided_before_either(play: Play) -> None:
    story = play("""
        contract c from 06-03
        recurring often 10 to pool every P2D for 2 periods from 05-30
        void often at 06-01 said 06-10
    """)

    assert story.left(at="06-03T01:00") == {"often#1": "10", "often#2": "10"}


def test_a_void_of_the_last_slice_means_the_one_that_was_carried_to_a_seat(play: Play) -> None:
    """The seat earned no other since its subscription ended."""
    story = play("""
        contract c from 06-01
        subscription team seats bo
        recurring weekly 10 per seat of team every P1W for 2 periods
        move bo to di carrying at 06-03
        end team at 06-07 said 06-03
        void weekly at 06-09
    """)

    assert story.balance("di") == "0"


def test_an_adjustment_at_the_instant_of_a_carried_move_is_told_once(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats cy
        grant own 1 to seat cy
        move cy to ana carrying at 06-03
        adjust own by -3 at 06-03
    """)

    assert [line for line in story.entries() if line.startswith(("adjusted", "lapsed"))] == [
        "adjusted -1 own of ana",
        "lapsed -2 own of ana",
    ]


def test_a_rise_due_with_the_next_period_is_due_there_though_the_subscription_ends(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana billed P1W increases next_period price 7
        add bo at 06-04
        end team at 06-05
    """)

    assert story.charges("06-30") == ["period 1 x 1 = 7 at 2026-06-01", "increase 1 x 4/7 = 4 at 2026-06-08"]


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_an_edit_that_waits_for_its_subscription_finds_it_in_a_contract_whose_end_was_lifted(play: Play) -> None:
    story = play(
        """
        contract other from 06-01
        contract c from 06-01 until 06-02
        subscription team seats ana
        tick 06-03
        """,
        wait=10 * DAY,
    )
    ledger = story.ledger
    at = instant("2026-06-03T00:00:00Z")
    edit = SeatChange(
        id="e",
        customer_id="acme",
        time=at,
        subscription_id="team",
        operations=(AddSeats(starting_at=at, seat_ids=(SeatName(seat_id="bo"),)),),
    )
    assert isinstance(ledger.fold(edit, at), Waiting)
    lift = ContractEnded(id="lift", customer_id="acme", time=at, contract_id="c", ending_before=FOREVER)
    ledger.fold(lift, at)

    assert [fact.id for fact, _ in ledger.settled()] == ["e"]
    assert ledger.holders("acme", "c", "team", at) == ["ana", "bo"]


def test_a_repeat_of_what_waits_answers_what_was_said_first(play: Play) -> None:
    """Though it has come to wait for something else."""
    at = instant("2026-06-03T00:00:00Z")
    ledger = play("contract other from 2027-01-01 said 06-03", wait=10 * DAY).ledger
    edit = SeatChange(id="e", customer_id="acme", time=at, subscription_id="team", operations=())
    first = ledger.fold(edit, at)
    ledger.fold(ContractCreated(id="k", customer_id="acme", time=at, contract_id="c", starting_at=at), at)
    again = ledger.fold(edit, at)

    assert isinstance(first, Waiting) and first.code == "unknown_contract"
    assert isinstance(again, Repeated) and again.first == first


def test_a_void_that_waited_finds_its_burn_at_the_edge_of_what_is_remembered(play: Play) -> None:
    """Whatever the instant: the burn came as late as the void may wait."""
    for days in range(1, 25):
        ledger = play("", lateness=20 * DAY, wait=2 * DAY).ledger
        at = instant("2026-02-01T00:00:00Z") + days * DAY
        void = BurnVoided(id="v", customer_id="acme", time=at, burn_id="b")
        assert isinstance(ledger.fold(void, at), Waiting)
        ledger.fold(CreditBurn(id="b", customer_id="acme", time=at, contract_id="c", amount=UNIT), at + 2 * DAY)
        assert [fact.id for fact, _ in ledger.settled()] == ["v"]


def test_a_burn_refused_for_its_future_is_remembered_until_its_time_is_too_late(play: Play) -> None:
    ledger = play("", lateness=20 * DAY).ledger
    at = instant("2026-02-01T00:00:00Z")
    burn = CreditBurn(id="b", customer_id="acme", time=at + 9 * DAY, contract_id="c", amount=UNIT)

    assert isinstance(ledger.fold(burn, at), Refused)
    for days in range(30):
        other = msgspec.structs.replace(burn, id=f"other-{days}", time=at + days * DAY)
        assert isinstance(ledger.fold(other, at + days * DAY), Folded)
        assert isinstance(ledger.fold(burn, at + days * DAY), Repeated)
    late = ledger.fold(burn, at + 29 * DAY + 1)
    assert isinstance(late, Refused) and late.refusal.code == "too_late"


def test_the_id_of_a_forgotten_burn_that_was_refused_since_names_no_burn(play: Play) -> None:
    ledger = play("", lateness=20 * DAY).ledger
    at = instant("2026-02-01T00:00:00Z")
    burn = CreditBurn(id="b", customer_id="acme", time=at, contract_id="c", amount=UNIT)
    ledger.fold(burn, at)
    assert isinstance(ledger.fold(burn, at + 21 * DAY), Refused)
    void = BurnVoided(id="v", customer_id="acme", time=at + 22 * DAY, burn_id="b")

    assert isinstance(ledger.fold(void, at + 22 * DAY), Waiting)


def test_a_void_of_a_burn_beyond_the_bound_is_too_late(play: Play) -> None:
    ledger = play("", lateness=20 * DAY).ledger
    at = instant("2026-02-01T00:00:00Z")
    ledger.fold(CreditBurn(id="b", customer_id="acme", time=at - 10 * DAY, contract_id="c", amount=UNIT), at)
    void = BurnVoided(id="v", customer_id="acme", time=at + 11 * DAY, burn_id="b")
    said = ledger.fold(void, at + 11 * DAY)

    assert isinstance(said, Refused) and said.refusal.code == "too_late"


def test_an_edit_with_two_faults_is_refused_for_its_mode_first(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        subscription club seats bo
        unassigned -1 in team and quantity 3 in club at 06-02 id e
    """)

    assert story.refused() == {"e": "wrong_mode"}


def test_a_seat_is_given_nothing_without_a_contract(play: Play) -> None:
    ledger = play("").ledger
    at = instant("2026-02-01T00:00:00Z")
    grant = Grant(grant_id="g", seat_id="ana", amount=UNIT, effective_at=at)
    said = ledger.fold(CreditsGranted(id="f", customer_id="acme", time=at, grant=grant), at)

    assert isinstance(said, Refused) and said.refusal.code == "missing_field"


def test_a_customer_of_whom_everything_was_refused_is_none(play: Play) -> None:
    ledger = play("").ledger
    at = instant("2026-02-01T00:00:00Z")
    ledger.fold(CreditBurn(id="b", customer_id="ghost", time=at - 500 * DAY, amount=UNIT), at)
    ledger.fold(CreditBurn(id="c", customer_id="ghost", time=at, amount=UNIT, on_unknown="refuse"), at)

    assert ledger.customers() == ["acme"]


def test_lines_of_two_seats_have_two_names() -> None:
    story = play_on_engine("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
    """)
    lines = story.ledger.entries("acme", story.now + 1)

    assert len({line.entry_id for line in lines}) == len(lines) == 2


def test_what_two_grants_of_one_name_paid_of_a_burn_is_two_lines_also_in_pages(play: Play) -> None:
    """The seat had a slice of its own and another one's of the same period; the second line was missing behind the first."""
    story = play("""
        contract c from 06-01
        subscription team seats x z
        recurring monthly 100 per seat of team every P1M
        remove z at 06-03
        move x to z carrying at 06-05
        burn 150 by z at 06-07 id b
    """)
    lines = story.ledger.entries("acme", story.now + 1)

    assert [(line.amount // UNIT, line.origin, line.moves) for line in lines if line.cause_id == "b"] == [
        (-100, None, 0),
        (-50, "x", 1),
    ]
    assert len({line.entry_id for line in lines}) == len(lines)
    if isinstance(story.ledger, Ledger):
        assert in_pages(story.ledger, "acme", story.now + 1, 1) == lines


def test_a_slice_that_was_carried_away_and_back_says_whose_it_was(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats a>b@7
        recurring monthly 100 per seat of team every P1M
        move a>b@7 to y\\ carrying at 06-03
        move y\\ to a>b@7 carrying at 06-04
    """)
    lines = story.ledger.entries("acme", story.now + 1)

    assert [(line.type, line.origin, line.moves) for line in lines] == [
        ("granted", None, 0),
        ("moved_out", None, 0),
        ("moved_in", "a>b@7", 1),
        ("moved_out", "a>b@7", 1),
        ("moved_in", "a>b@7", 2),
    ]


def test_two_debts_that_one_edit_brings_to_a_seat_are_two_lines(play: Play) -> None:
    """In two subscriptions, at one instant."""
    story = play("""
        contract c carry from 06-01
        subscription team seats a
        subscription club seats b
        burn 5 by a at 06-02
        burn 7 by b at 06-02
        move a to z carrying in team and move b to z carrying in club at 06-03
    """)
    lines = [line for line in story.ledger.entries("acme", story.now + 1) if line.type == "moved_in"]

    assert [line.beside // UNIT for line in lines] == [5, 7]
    assert len({line.entry_id for line in lines}) == 2
    if isinstance(story.ledger, Ledger):
        assert [line for line in in_pages(story.ledger, "acme", story.now + 1, 1) if line.type == "moved_in"] == lines


def test_lines_whose_ids_read_alike_in_a_row_have_two_names(play: Play) -> None:
    """One reset takes `b:g` from `a`, and `g` from `a:b`."""
    story = play("""
        contract c from 06-01
        grant b:g 5 to seat a
        grant g 5 to seat a:b
        reset at 06-03
    """)
    lines = story.ledger.entries("acme", story.now + 1)

    assert len({line.entry_id for line in lines}) == len(lines) == 4


def test_an_adjustment_that_an_heir_took_has_not_lapsed_for_who_asks_for_the_giver_alone() -> None:
    ledger = play_on_engine("""
        contract c from 06-01
        grant g 100 to seat x
        subscription team seats x
        move x to y carrying at 06-03
        adjust g by 5 at 06-05
        move y to z carrying at 06-06
        adjust g by 7 at 06-07
        void g at 06-08
        adjust g by 9 at 06-09
    """).ledger
    assert isinstance(ledger, Ledger)
    until = instant("2026-07-01T00:00:00Z")

    def told(seat_id: str) -> list[str]:
        scope = Scope(customer_id="acme", contract_id="c", seat_id=seat_id)
        lines = ledger.entries("acme", until, scope=scope)
        assert lines == in_pages(ledger, "acme", until, 1, scope)
        assert lines == [line for line in ledger.entries("acme", until) if line.scope == scope]
        return [line.type for line in lines]

    assert told("x") == ["granted", "moved_out", "lapsed"]
    assert told("y") == ["moved_in", "adjusted", "moved_out"]
    assert told("z") == ["moved_in", "adjusted", "voided"]


def test_an_adjustment_of_a_pool_that_found_nothing_is_told_to_who_asks_for_the_pool() -> None:
    ledger = play_on_engine("""
        grant ours 5 until 02-01
        grant gift 5 to customer until 02-01
        adjust ours by 1 at 02-02
        adjust gift by 1 customer at 02-02
    """).ledger
    assert isinstance(ledger, Ledger)
    for contract_id in ("c", None):
        scope = Scope(customer_id="acme", contract_id=contract_id)
        lines = ledger.entries("acme", instant("2026-03-01T00:00:00Z"), scope=scope)
        assert [line.type for line in lines] == ["granted", "expired", "lapsed"]


def test_what_waited_is_folded_by_its_arrival_also_where_one_wakes_the_next() -> None:
    """All that waited for the contract came before what waited for one of those."""
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play_on_engine(
        """
        burn 5 by ana at 01-02 id first
        take back first
        burn 1 by ana at 01-02T00:01 id last
        contract c from 2026-01-01
        """,
        ledger,
    )

    assert [type(fact) for fact, _ in ledger.settled()] == [CreditBurn, BurnVoided, CreditBurn]


def test_seats_are_not_given_everything_again_under_another_key(play: Play) -> None:
    """Their subscription said another seat group key, and each was a new seat."""
    ledger = play("subscription team seats ana").ledger
    at = instant("2026-01-02T00:00:00Z")
    changes = SubscriptionChanges(seat_group_key="user_id", mode="seats")
    update = SubscriptionUpdated(
        id="u", customer_id="acme", time=at, contract_id="c", subscription_id="team", starting_at=at, changes=changes
    )
    outcome = ledger.fold(update, at)

    assert isinstance(outcome, Refused)
    assert (outcome.refusal.code, outcome.refusal.field) == ("wrong_mode", "seat_group_key")


@pytest.mark.heavy
def test_a_customer_is_not_locked_by_names_that_waited_together() -> None:
    """Each alone was within the bound when it began to wait; folded, they were too many, and whatever was said from then on
    was refused, what it named known or not."""
    ledger = Ledger(MemoryRows(), **BOUNDS)
    at = instant("2026-01-02T00:00:00Z")

    def burn(n: int, credit_type: str) -> CreditBurn:
        return CreditBurn(
            id=f"b{n}",
            customer_id="acme",
            time=at,
            contract_id="c",
            seat_id="ana",
            credit_type=credit_type,
            amount=UNIT,
        )

    for n in range(NAMES + 1):
        assert isinstance(ledger.fold(burn(n, f"type {n}"), at), Waiting)
    ledger.fold(ContractCreated(id="k", customer_id="acme", time=at, contract_id="c", starting_at=at), at)
    last = ledger.settled()[-1][1]

    assert isinstance(last, Refused) and last.refusal.code == "too_large"
    assert isinstance(ledger.fold(burn(-1, "type 1"), at), Folded)


@pytest.mark.heavy
def test_a_customer_is_not_locked_by_names_whose_wait_was_over_together() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play_on_engine("contract c from 2026-01-01 until 01-02", ledger)
    at = instant("2026-01-02T00:00:00Z")

    def burn(n: int, contract_id: str | None) -> CreditBurn:
        return CreditBurn(
            id=f"b{n}", customer_id="acme", time=at, contract_id=contract_id, credit_type=f"type {n}", amount=UNIT
        )

    for n in range(NAMES - 1):
        assert isinstance(ledger.fold(burn(n, "c"), at), Folded)
    for n in (NAMES, NAMES + 1):
        assert isinstance(ledger.fold(burn(n, None), at), Waiting)
    (_, over), (_, locks) = ledger.advance(at + 2 * HOUR)

    assert isinstance(over, Folded)
    assert isinstance(locks, Refused) and locks.refusal.code == "too_large"


@pytest.mark.parametrize("lateness", [HOUR, 16 * HOUR])
@pytest.mark.parametrize("hour", range(0, 24, 2))
@pytest.mark.parametrize("seat_id", ["ana", "bo"])
def test_a_burn_ahead_of_the_clock_is_counted_once_however_short_the_lateness(
    lateness: int, hour: int, seat_id: str
) -> None:
    ledger = Ledger(MemoryRows(), lateness=lateness, ahead=DAY, wait=HOUR)
    now = instant(f"2026-01-02T{hour:02}:00:00Z")
    play_on_engine(f"burn 1 by ana at 01-02T{hour:02}:00", ledger)
    ahead = CreditBurn(id="b", customer_id="acme", time=now + 5 * HOUR, contract_id="c", seat_id=seat_id, amount=UNIT)

    assert isinstance(ledger.fold(ahead, now), Folded)
    for later in range(6):
        assert isinstance(ledger.fold(ahead, now + later * HOUR), Repeated)


@pytest.mark.heavy
def test_a_balance_that_goes_through_hundreds_of_seats_at_one_instant_arrives() -> None:
    hand_on = " and ".join(f"move s{i} to s{i + 1} carrying" for i in range(350))
    story = play_on_engine(f"""
        contract c from 06-01
        subscription team seats s0
        recurring monthly 100 per seat of team every P1M
        {hand_on} at 06-03
        burn 10 by s350 at 06-04
    """)

    assert story.left("s350") == {"monthly": "90"}


def test_of_two_contracts_that_ended_together_an_unnamed_burn_means_the_first_by_its_name(play: Play) -> None:
    story = play(
        """
        contract a from 06-01 until 06-10
        contract b from 06-01 until 06-10
        burn 1 by ana at 06-14 anywhere
        tick 06-20
        """
    )

    assert (story.overage("ana", on="a"), story.overage("ana", on="b")) == ("1", "0")


def test_a_carried_grant_recurs_though_it_was_voided_where_it_came_from(play: Play) -> None:
    """The naive model had it recur no more."""
    story = play("""
        subscription team seats bo
        grant daily 5 to seat bo from 01-01T12:00 every P1D
        move bo to ana carrying at 01-03
        void daily seat bo at 01-04
        burn 5 by ana at 01-04T01:00
    """)

    assert story.balance("ana", at="01-05") == "5"


def test_a_late_burn_finds_who_ended_at_a_grant_that_was_emptied_behind_him(play: Play) -> None:
    """`LawBroken: paid 1 of 0 and nobody took it`, and the partition stood still."""
    story = play("""
        recurring hourly 10 to pool every PT2H from 01-01
        grant ours 3 from 01-01 to pool priority 3 id gz
        grant mine 2 to seat ana from 01-01 priority 3 id ga
        burn 1 by ana at 01-01T02:00
        burn 30 by bo at 01-01 id b
        burn 5 by ana at 01-01 id c
    """)

    assert (story.overage("ana"), story.overage("bo")) == ("3", "17")
    assert story.balance(at="01-01T03:00") == "9"


def test_a_void_of_all_seats_gives_back_what_an_earlier_one_of_a_seat_had_ended(play: Play) -> None:
    """It takes the earlier one's place, and what was burned in between was not paid again."""
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 100 per seat of team every P1M
        void monthly seat ana at 06-05
        burn 10 by ana at 06-07
        void monthly at 06-10
        burn 5 by ana at 06-12
    """)

    assert story.overage("ana") == "5"
    assert story.entries("ana") == [
        "granted 100 monthly",
        "burned -10 monthly",
        "voided -90 monthly",
        "overage 5",
    ]


def test_a_later_void_gives_back_what_the_one_that_counted_had_ended(play: Play) -> None:
    """Also where one before that had ended it later."""
    story = play("""
        contract c from 06-01
        grant ours 100 to seat ana
        void ours at 06-20 said 06-02
        void ours at 06-05 said 06-06
        burn 10 by ana at 06-07
        void ours at 06-15 said 06-08
    """)

    assert story.left("ana", at="06-10") == {"ours": "90"}
    assert story.overage("ana") == "0"


def test_a_slice_is_ended_by_an_earlier_void_again_once_the_last_one_means_another_slice(play: Play) -> None:
    """A seat that is said to have returned has a later slice, so that the void that names none leaves the first to the other."""
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring weekly 100 per seat of team every P1W for 5 periods
        void weekly slice 0 seat ana at 06-03
        burn 10 by ana at 06-04
        remove ana at 06-05
        void weekly seat ana at 06-20
        set ana bo at 06-10 said 06-22
        burn 7 by ana at 06-23
    """)

    assert story.overage("ana") == "10"


def test_a_void_of_all_seats_counts_for_who_has_burned_before_also_in_a_later_batch(play: Play) -> None:
    """That the contract's credits are others than when a seat's stretch was opened was forgotten at the end of the batch."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        burn 1 by ana at 06-02
        void monthly at 06-03
        burn 10 by ana at 06-04
    """)

    assert story.overage("ana") == "10"


def test_moves_of_one_instant_in_two_subscriptions_are_made_in_the_order_of_the_edit(play: Play) -> None:
    """The subscription that was made first came first."""
    story = play("""
        contract c from 06-01
        subscription first seats cy
        subscription second seats cy
        grant ours 100 to seat cy
        move cy to ana carrying in second and move cy to bo carrying in first at 06-03
    """)

    assert [story.balance(who) for who in ("ana", "bo")] == ["100", "0"]


@pytest.mark.parametrize("what", ["contract", "team", "monthly"])
def test_an_end_may_turn_a_void_to_an_earlier_slice_and_lift_the_one_that_it_had(play: Play, what: str) -> None:
    """The slice had paid nothing more since the void whose place another takes now."""
    story = play(f"""
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M for 3 periods
        void monthly seat ana at 01-20
        void monthly seat ana at 02-10
        burn 10 by ana at 01-22
        tick 03-01
        end {what} at 01-25 said 03-01
    """)

    assert (story.balance("ana", at="01-23"), story.overage("ana", at="01-23")) == ("90", "0")


def test_what_expires_where_it_was_carried_to_has_the_cause_that_granted_it(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana until 06-20 id giving
        move ana to di carrying at 06-10 id moving
        tick 07-01
    """)

    lines = story.ledger.entries("acme", story.now)
    assert [(line.type, line.cause_id) for line in lines if line.scope.seat_id == "di"] == [
        ("moved_in", "moving"),
        ("expired", "giving"),
    ]


def test_what_a_return_gives_back_has_the_return_as_its_cause(play: Play) -> None:
    """It had the removal."""
    story = play("""
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M
        remove ana at 01-10 id leaving
        add ana at 01-12 id returning
        tick 01-13
    """)

    lines = [(line.type, line.cause_id) for line in story.ledger.entries("acme", story.now) if line.amount]
    assert lines[1:] == [("voided", "leaving"), ("restored", "returning")]


@pytest.mark.heavy
def test_rows_are_written_in_one_order_whatever_the_hash_seed() -> None:
    program = """
import hashlib, random
from ledger.ledger import Ledger
from tests.ledger.histories import HISTORY, draw_history
from tests.ledger.memory import MemoryRows
said = hashlib.sha256()
class Heard:
    def __init__(self):
        self.rows = MemoryRows()
        self.get, self.scan = self.rows.get, self.rows.scan
    def put(self, table, key, value):
        said.update(b"put" + key + value)
        self.rows.put(table, key, value)
    def delete(self, table, key):
        said.update(b"delete" + key)
        self.rows.delete(table, key)
for seed in range(8):
    ledger = Ledger(Heard(), **HISTORY)
    for fact, arrived_at in draw_history(random.Random(seed), 60):
        ledger.advance(arrived_at)
        ledger.fold(fact, arrived_at)
        ledger.flush()
print(said.hexdigest())
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(said) == 1


def test_a_debt_from_the_instant_of_a_reset_is_paid_by_what_comes_next(play: Play) -> None:
    """The reset had been said before anybody burned of this type of credit; the debt was told as still open."""
    story = play("""
        contract c carry from 2026-01-01
        reset at 01-02
        burn 1 by cy at 01-02
        grant ours 7 from 01-10 until 2026-01-20
    """)
    assert story.overage("cy", "01-09") == "1"
    assert (story.overage("cy", "01-10"), story.overage("cy")) == ("0", "0")


def test_an_edit_of_a_subscription_that_is_not_there_waits_though_its_operations_name_others() -> None:
    """It was folded into those others, and nobody missed the one that it names."""
    ledger = Ledger(MemoryRows(), **BOUNDS)
    play_on_engine(
        """
        contract c from 2026-01-01 bringing
        subscription team seats ana
        """,
        ledger,
    )
    at = instant("2026-01-05T00:00:00Z")
    edit = SeatChange(
        id="e", customer_id="acme", time=at, contract_id="c", subscription_id="later",
        operations=(AddSeats(subscription_id="team", seat_ids=(SeatName(seat_id="bo"),), starting_at=at),),
    )  # fmt: skip

    outcome = ledger.fold(edit, at)

    assert isinstance(outcome, Waiting) and outcome.code == "unknown_subscription"
    assert ledger.holders("acme", "c", "team", at) == ["ana"]


def test_a_late_burn_before_the_newest_stretch_is_noted_also_where_its_batch_ends_with_it() -> None:
    """It was noted in a row that was not written, so that the next batch, and it alone, did not know of it."""
    story = """
        contract c from 06-01
        grant anas 5 to seat ana every P1D
        burn 1 by ana at 06-02T06:00
        burn 1 by ana at 06-03T12:00
    """
    rows = MemoryRows()
    ledger = Ledger(rows, **BOUNDS)
    played = play_on_engine(story, ledger)
    ledger.flush()
    play_on(played, "burn 1 by ana at 06-02T12:00")
    ledger.flush()
    [noted] = [value for key, value in rows.tables["state"].items() if key.startswith(SCOPE.tag)]

    assert [id for _, id, _ in SCOPE.read(noted).recent] == ["burn-004", "burn-003"]

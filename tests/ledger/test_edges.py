"""Edges that a mutation run showed to be unguarded: what happens at one instant, what is carried on, what is named twice."""

import pytest

from ledger.amounts import UNIT, parse, text
from ledger.facts import AddSeats, ContractUpdated, CreditBurn, SeatChange, SeatName
from ledger.instants import DAY, HOUR, ORIGIN, instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Refused, Scope, Waiting
from tests.ledger import language
from tests.ledger.language import Play, Played, play_on

WHOSE = pytest.mark.parametrize(
    ("grants", "void", "by"),
    [
        ("grant ours 10", "void ours", ""),
        ("grant ours 10 to seat ana", "void ours", "by ana"),
        ("recurring monthly 10 to pool every P1M", "void monthly slice 0", ""),
        ("recurring monthly 10 per seat of team every P1M", "void monthly slice 0 seat ana", "by ana"),
    ],
)

# --- what carried moves hand on --------------------------------------------------------------------------------------


def test_what_is_carried_was_granted_what_it_was(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        burn 4 by ana at 06-05
        move ana to di carrying at 06-10
    """)

    assert (story.left("di"), story.granted("di")) == ({"gift": "6"}, "10")


def test_what_is_carried_recurs_in_full(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant weekly 10 to seat ana every P1W
        burn 4 by ana at 06-05
        move ana to di carrying at 06-06
        move di to ed carrying at 06-10
    """)

    assert [story.balance("di", at) for at in ("06-06", "06-08", "06-10")] == ["6", "10", "0"]
    assert [story.balance("ed", at) for at in ("06-10", "06-15")] == ["10", "10"]


def test_of_moves_at_one_instant_the_later_ones_take_what_the_earlier_brought(play: Play) -> None:
    onwards = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        move ana to di carrying and move di to ed carrying at 06-10
    """)
    away = play("""
        contract c from 06-01
        subscription team seats ana di
        grant gift 10 to seat ana
        move di to ed carrying and move ana to di carrying at 06-10
    """)

    assert [onwards.balance(who) for who in ("ana", "di", "ed")] == ["0", "0", "10"]
    assert [away.balance(who) for who in ("ana", "di", "ed")] == ["0", "10", "0"]


def test_a_row_says_of_which_subscription_a_slice_is_wherever_it_was_carried(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
        recurring shared 10 per unit of team every P1M
        recurring plain 10 to pool every P1M
        move ana to di carrying at 06-10
    """)

    rows = {row.scope.seat_id: row.grants for row in story.ledger.balances("acme", story.now + 1)}
    assert {seat: [each.subscription_id for each in grants] for seat, grants in rows.items() if grants} == {
        None: [None, "team"],
        "bo": ["team"],
        "di": ["team"],
    }


def test_what_was_carried_is_revoked_where_it_sits_and_given_back_there(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M
        move ana to di carrying at 06-10
        burn 3 by di at 06-11
        remove di at 06-15
        add di at 06-20
    """)

    assert [story.left("di", at) for at in ("06-14", "06-15", "06-20")] == [{"monthly": "7"}, {}, {"monthly": "7"}]


def test_a_void_at_the_instant_of_a_move_means_what_sat_there_before(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        recurring monthly 5 per seat of team every P1M
        move ana to di carrying at 06-10
        void gift seat di at 06-10
        void monthly slice 0 seat di at 06-10
    """)

    assert story.left("di") == {"monthly": "5", "gift": "10"}


def test_a_void_just_after_a_move_means_what_came_there(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        recurring monthly 5 per seat of team every P1M
        move ana to di carrying at 06-10
        void gift seat di at 06-10T00:00:00.000001
        void monthly slice 0 seat di at 06-10T00:00:00.000001
    """)

    assert story.left("di") == {}


def test_a_move_before_the_subscription_lives_carries_nothing(play: Play) -> None:
    story = play("""
        contract c from 06-01
        grant gift 10 to seat ana
        subscription team seats ana from 06-10
        move ana to di carrying at 06-05
        tick 06-12
    """)

    assert (story.left("ana"), story.left("di")) == ({"gift": "10"}, {})
    assert story.seats() == "di +0"


def test_a_move_at_the_start_of_a_subscription_carries_and_one_at_its_end_does_not(play: Play) -> None:
    story = play("""
        contract c from 06-01
        grant gift 10 to seat ana
        subscription team seats ana from 06-10 until 06-20
        move ana to di carrying at 06-10
        move di to ed carrying at 06-20
    """)

    assert [story.balance(who, "06-21") for who in ("ana", "di", "ed")] == ["0", "10", "0"]


def test_who_was_handed_the_slice_at_the_start_of_a_period_earns_its_own_besides(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 2 periods
        burn 1 by ana at 06-20
        move ana to di carrying at 07-01
    """)

    assert story.left("di", "07-02") == {"monthly#0": "9", "monthly#1": "10"}
    assert story.left("ana", "07-02") == {}


def test_a_slice_handed_just_after_a_period_began_is_the_only_one(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M
        move ana to di carrying at 07-01T00:00:00.000001
    """)

    assert story.entries("di", "07-10") == ["moved_in 10 monthly"]


def test_who_came_before_it_was_handed_a_slice_has_earned_its_own(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        add di at 06-11
        remove di at 06-16
        move ana to di carrying at 06-21
    """)

    assert story.entries("di") == ["granted 20 monthly", "moved_in 30 monthly"]


def test_a_chain_of_moves_within_a_period_hands_the_one_slice_on(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        move ana to di carrying at 06-11
        move di to ed carrying at 06-12
        add di at 06-13
        add ana at 06-14
        move ed to fy carrying at 06-15
        move fy to di at 06-16
        tick 06-20
    """)

    assert story.refused() == {list(story.outcomes)[-1]: "already_assigned"}
    assert [story.balance(who) for who in ("ana", "di", "ed", "fy")] == ["0", "0", "0", "30"]


def test_of_three_moves_at_one_instant_each_takes_what_was_there_when_its_turn_came(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana di
        grant anas 10 to seat ana
        grant dis 7 to seat di
        move di to ed carrying and move ana to di carrying and move di to fy carrying at 06-10
    """)

    assert [story.left(who) for who in ("ana", "di", "ed", "fy")] == [{}, {}, {"dis": "7"}, {"anas": "10"}]


def test_of_three_moves_at_one_instant_each_takes_the_debt_that_was_there_when_its_turn_came(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats ana di
        burn 4 by ana at 06-05
        burn 3 by di at 06-05
        move di to ed carrying and move ana to di carrying and move di to fy carrying at 06-10
    """)

    assert [story.overage(who) for who in ("ana", "di", "ed", "fy")] == ["0", "0", "3", "4"]


def test_debts_that_meet_on_their_way_are_owed_together(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats ana di
        subscription staff seats bo
        burn 4 by ana at 06-05
        burn 2 by bo at 06-05
        move ana to ed carrying in team at 06-10
        move bo to ed carrying in staff at 06-10
        move ed to fy carrying in team at 06-10
        burn 1 by fy at 06-11
        grant gift 5 to seat fy from 06-12
    """)

    assert [story.overage(who, "06-11") for who in ("ana", "bo", "ed", "fy")] == ["0", "0", "0", "6"]
    assert story.overage("fy") == "2"


def test_what_was_revoked_is_given_back_though_its_seat_burned_meanwhile(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M
        burn 3 by ana at 06-05
        remove ana at 06-10
        burn 2 by ana at 06-12
        add ana at 06-20
        burn 1 by ana at 06-21
    """)

    assert (story.left("ana"), story.overage("ana")) == ({"monthly": "6"}, "2")


def test_a_seat_knows_of_a_move_the_very_next_microsecond(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        move ana to di carrying at 06-10T00:00:00.000001 said 06-01
        burn 1 by ana at 06-10
        burn 2 by ana at 06-11
    """)

    assert (story.overage("ana"), story.left("di")) == ("2", {"gift": "9"})


def test_of_five_moves_at_one_instant_each_takes_only_what_came_since_the_seat_gave_last(play: Play) -> None:
    moves = ("ana to di", "bo to ana", "ana to ed", "cy to ana", "ana to fy")
    story = play(f"""
        contract c from 06-01
        subscription team seats ana bo cy
        grant anas 5 to seat ana
        grant bos 7 to seat bo
        grant cys 9 to seat cy
        {" and ".join(f"move {each} carrying" for each in moves)} at 06-10
    """)

    assert [story.left(who) for who in ("di", "ed", "fy")] == [{"anas": "5"}, {"bos": "7"}, {"cys": "9"}]


# --- debts -----------------------------------------------------------------------------------------------------------


def test_what_was_burned_before_the_contract_is_no_debt_though_it_is_told_last(play: Play) -> None:
    story = play("""
        contract c carry from 02-01
        burn 3 by ana at 02-01
        burn 4 by ana at 01-15
        grant gift 10 to seat ana from 02-10
    """)

    assert story.left("ana") == {"gift": "7"}


def test_a_debt_was_paid_by_a_grant_that_is_long_over(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 4 by ana at 01-05
        grant brief 10 to seat ana from 01-10 until 01-12
        grant gift 10 to seat ana from 06-01
        burn 1 by ana at 06-02
        tick 06-03
    """)

    assert (story.left("ana"), story.overage("ana")) == ({"gift": "9"}, "0")


def test_a_debt_that_was_handed_over_was_paid_by_a_grant_that_is_long_over(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        subscription team seats ana
        grant brief 10 to seat di from 01-10 until 01-12
        burn 4 by ana at 01-05
        move ana to di carrying at 01-06
        grant gift 10 to seat di from 06-01
        burn 1 by di at 06-02
    """)

    assert (story.left("di"), story.overage("di")) == ({"gift": "9"}, "0")


# --- what is beside an entry -----------------------------------------------------------------------------------------


def test_what_comes_and_goes_by_itself_says_nothing_of_the_overage(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 1
        recurring monthly 30 per unit of team every P1M
        grant weekly 10 every P1W rollover max 2
        burn 4 at 06-02
        reset at 06-05
        quantity 2 at 06-16
        tick 07-02
    """)

    lines = story.ledger.entries("acme", story.now)
    assert {line.type for line in lines} == {"granted", "burned", "forfeited", "lifted", "expired"}
    assert all(not line.beside for line in lines)


# --- what was said before is said otherwise --------------------------------------------------------------------------


@WHOSE
def test_a_void_that_is_put_off_gives_back_what_was_burned_meanwhile(
    play: Play, grants: str, void: str, by: str
) -> None:
    story = play(f"""
        contract c from 06-01
        subscription team seats ana
        {grants}
        {void} at 06-10 said 06-05
        burn 3 {by} at 06-12
        tick 06-14
        {void} at 06-15 said 06-14
        tick 06-16
    """)

    who = by.removeprefix("by ") or "pool"
    assert (story.balance(who, "06-14"), story.overage(who)) == ("7", "0")
    assert story.balance(who) == "0"


@WHOSE
def test_a_void_that_is_brought_forward_takes_what_was_burned_meanwhile(
    play: Play, grants: str, void: str, by: str
) -> None:
    story = play(f"""
        contract c from 06-01
        subscription team seats ana
        {grants}
        {void} at 06-15 said 06-05
        burn 3 {by} at 06-12
        {void} at 06-10 said 06-13
        tick 06-16
    """)

    who = by.removeprefix("by ") or "pool"
    assert (story.balance(who), story.overage(who)) == ("0", "3")


@WHOSE
def test_a_late_adjustment_counts_before_what_was_burned_since(play: Play, grants: str, void: str, by: str) -> None:
    adjust = void.replace("void", "adjust")
    story = play(f"""
        contract c from 06-01
        subscription team seats ana
        {grants}
        burn 3 {by} at 06-12
        {adjust} by -8 at 06-10
        burn 1 {by} at 06-14
    """)

    who = by.removeprefix("by ") or "pool"
    assert (story.balance(who), story.overage(who)) == ("0", "2")


def test_what_an_end_said_late_unearned_is_paid_anew(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M priority 1
        recurring shared 10 per unit of team every P1M priority 2
        grant ours 50 priority 3
        burn 30 by ana at 07-05
        end team at 07-01 said 07-06
        burn 1 by ana at 07-07
    """)

    assert (story.left("ana"), story.left()) == ({}, {"shared": "0", "ours": "19"})


def test_a_raise_taken_back_late_is_paid_anew(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 1
        recurring shared 30 per unit of team every P1M priority 1
        grant ours 50 priority 2
        quantity +1 at 06-16
        burn 40 at 06-20
        quantity -1 at 06-10 said 06-21
        burn 1 at 06-22
    """)

    assert story.left() == {"shared": "0", "ours": "39"}


# --- what raised a slice ---------------------------------------------------------------------------------------------


def causes(story: Played) -> list[str]:
    lines = story.ledger.entries("acme", story.now + 1)
    return [line.cause_id for line in lines if line.type == "granted" and line.cause_type == "seat-change"]


def test_a_rise_names_the_edit_that_raised_it() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana
        subscription units quantity 1
        recurring monthly 10 per unit of team every P1M
        recurring more 10 per unit of units every P1M
        add bo in team at 06-10 id adding
        unassigned +1 in team at 06-11 id holding
        quantity 2 in units at 06-12 id setting
        quantity +1 in units at 06-13 id changing
    """)

    assert causes(story) == ["adding", "holding", "setting", "changing"]


def test_a_rise_of_several_edits_names_the_last_that_moved_anything() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per unit of team every P1M
        add bo cy at 06-10 id a
        remove bo at 06-10 id b
        add di at 06-11 id c
        move di to ed at 06-11 id d
        add fy at 06-12 id e
        add fy at 06-12 id f
    """)

    assert causes(story) == ["b", "d", "e"]


def test_a_rise_a_microsecond_into_the_period_counts(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 1 price 30
        recurring monthly 10 per unit of team every P1M whole increases
        quantity 2 at 06-01T00:00:00.000001
        quantity 3 at 07-01T00:00:00.000001
    """)

    assert [story.granted("pool", at) for at in ("06-01", "06-02", "07-01", "07-02")] == ["10", "20", "20", "30"]
    assert [story.counts("team", at).paid for at in ("06-01", "06-02", "07-01", "07-02")] == [1, 2, 2, 3]


# --- what is refused, and how it is said -----------------------------------------------------------------------------


def test_what_an_edit_asked_too_much_of_is_said() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana bo +1 unassigned
        subscription units quantity 2
        unassigned -2 in team at 06-10 id unassigned
        quantity -3 in units at 06-10 id units
        move cy to di in team at 06-10 id from
        move ana to bo in team at 06-10 id to
    """)

    said = [outcome.refusal for outcome in story.outcomes.values() if isinstance(outcome, Refused)]
    at = "at 2026-06-10T00:00:00Z"
    assert [(refusal.code, refusal.field, refusal.message) for refusal in said] == [
        ("below_zero", "operations[0].quantity", f"2 of 1 unassigned seats cannot be taken away {at}"),
        ("below_zero", "operations[0].delta", f"3 of 2 seats cannot be taken away {at}"),
        ("not_assigned", "operations[0].from_seat_id", f"seat cy is not assigned {at}"),
        ("already_assigned", "operations[0].to_seat_id", f"seat bo is assigned already {at}"),
    ]


def test_a_subscription_of_the_other_mode_says_which_it_is() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana
        subscription units quantity 2
        quantity 5 in team at 06-10
        add bo in units at 06-10
    """)

    said = [outcome.refusal.message for outcome in story.outcomes.values() if isinstance(outcome, Refused)]
    assert said == [
        "subscription team is of mode seats at 2026-06-10T00:00:00Z",
        "subscription units is of mode quantity at 2026-06-10T00:00:00Z",
    ]


def test_an_edit_expects_the_version_of_a_subscription_by_the_code_that_it_has_by_then() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana
        change team feature_code later at 06-10 said 06-02
    """)
    at = instant("2026-06-10T00:00:00Z")
    edit = SeatChange(
        id="edit",
        customer_id="acme",
        time=instant("2026-06-03T00:00:00Z"),
        contract_id="c",
        operations=(AddSeats(starting_at=at, feature_code="later", seat_ids=(SeatName(seat_id="bo"),)),),
        expected_version={"later": 0},
    )

    assert isinstance(story.ledger.fold(edit, edit.time), Folded)
    assert story.seats(at="06-11") == "ana bo +0"


def test_an_edit_that_names_an_unknown_code_waits_for_it_whatever_its_operations_name() -> None:
    story = language.play("contract c from 06-01 \n subscription team seats ana", wait=HOUR)
    at = instant("2026-06-10T00:00:00Z")
    operation = AddSeats(starting_at=at, subscription_id="team", seat_ids=(SeatName(seat_id="bo"),))
    edit = SeatChange(
        id="edit", customer_id="acme", time=at, contract_id="c", feature_code="nowhere", operations=(operation,)
    )

    waiting = story.ledger.fold(edit, at)

    assert isinstance(waiting, Waiting)
    assert (waiting.code, waiting.message) == ("unknown_subscription", "subscription nowhere is not known yet")


def test_a_credit_for_each_seat_needs_seats(play: Play) -> None:
    story = play("""
        contract c from 06-01 bringing
        subscription units quantity 2
        recurring a 10 per seat of units every P1M
        contract d from 06-01 bringing
        recurring b 10 per seat every P1M
        contract e from 06-01
        subscription units quantity 2
        recurring f 10 per seat of units every P1M id added
        recurring g 10 per seat every P1M id alone
    """)

    assert story.refused() == {
        "contract-c": "wrong_mode",
        "contract-d": "missing_field",
        "added": "wrong_mode",
        "alone": "missing_field",
    }


def test_an_end_is_too_late_by_what_it_ends_and_a_lift_by_when_it_is_said(play: Play) -> None:
    story = play(
        """
        contract c from 01-01 until 12-01
        subscription team quantity 1
        recurring monthly 10 to pool every P1M
        tick 03-01
        end contract at 02-18 said 03-01 id contract
        end team at 02-18 said 03-01 id team
        end monthly at 02-18 said 03-01 id monthly
        end team never at 02-20 id lift
        end team at 02-19 said 03-01 id just
        """,
        lateness=10 * DAY,
    )

    assert story.refused() == {"contract": "too_late", "team": "too_late", "monthly": "too_late"}


def test_a_contract_that_is_named_anew_ends_as_before(play: Play) -> None:
    story = play("contract c from 01-01 until 02-01")
    naming = ContractUpdated(id="naming", customer_id="acme", time=story.now, contract_id="c", name="gold")
    assert isinstance(story.ledger.fold(naming, story.now), Folded)
    play_on(story, "grant ours 10")

    assert (story.balance("pool", "01-31"), story.balance("pool", "02-01")) == ("10", "0")


# --- what waits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["wait_customer", "wait_partition"])
def test_what_goes_on_waiting_for_something_else_still_counts(play: Play, bound: str) -> None:
    story = play(
        """
        add ana in team at 01-02 on d id one
        burn 1 at 01-02 on e id two
        burn 1 at 01-02 on e id three
        contract d from 01-01 said 01-02
        burn 1 at 01-02 on e id four
        subscription team seats bo said 01-02
        burn 1 at 01-02 on e id five
        """,
        **{bound: 2},
    )

    assert story.refused() == {"three": "waiting_full", "four": "waiting_full"}
    assert story.waiting() == ["two", "five"]


def test_what_goes_on_waiting_alone_takes_one_place(play: Play) -> None:
    story = play(
        """
        add ana in team at 01-02 on d id one
        contract d from 01-01 said 01-02
        burn 1 at 01-02 on e id two
        burn 1 at 01-02 on e id three
        """,
        wait_partition=2,
    )

    assert (story.waiting(), story.refused()) == (["one", "two"], {"three": "waiting_full"})


@pytest.mark.parametrize(("by", "who"), [("", "pool"), ("by ana", "ana")])
def test_a_burn_that_two_contracts_hold_is_folded_once_one_of_them_had_ended_by_then(
    play: Play, by: str, who: str
) -> None:
    story = play(f"""
        contract c from 06-01
        contract d from 06-01
        burn 5 {by} anywhere at 06-10 id b
        end contract at 06-05 on d said 06-10
    """)

    assert story.waiting() == []
    assert story.overage(who, on="c") == "5"


def test_a_burn_that_two_contracts_hold_is_folded_once_its_seat_sits_in_one_of_them(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats bo
        contract d from 06-01
        burn 5 by ana anywhere at 06-10 id b
        add ana in team at 06-09 on c said 06-10
    """)

    assert story.waiting() == []
    assert story.overage("ana", on="c") == "5"


def test_a_burn_at_the_very_end_of_a_contract_becomes_overage_of_that_one(play: Play) -> None:
    story = play("""
        contract one from 06-01 until 06-05
        contract two from 06-05 until 06-10
        burn 3 anywhere at 06-10
        tick 06-11
    """)

    assert [story.overage(on=name) for name in ("one", "two")] == ["0", "3"]


def test_what_was_settled_is_said_once() -> None:
    """With the fact that brought it, or by the clock: neither again with what waited in vain, nor after that."""
    story = language.play(
        """
        contract c from 06-01 until 06-05
        burn 1 anywhere at 06-10 id nowhere
        take back nowhere at 06-10T00:30 id back
        burn 2 at 06-10T00:30 on d id soon
        contract d from 06-11 said 06-10T00:40
        """,
        wait=HOUR,
    )
    ledger = story.ledger
    assert [fact.id for fact, _ in ledger.settled()] == ["soon"]

    over = ledger.advance(instant("2026-06-10T01:00:00.000001Z"))

    assert [fact.id for fact, _ in over] == ["nowhere", "back"]
    assert ledger.settled() == []


def test_what_came_before_a_clock_waits_from_its_first_word_on() -> None:
    story = language.play("contract c from 2026-01-01", wait=HOUR)
    ledger, now = story.ledger, instant("2026-01-05T00:00:00Z")
    assert isinstance(ledger, Ledger)
    for id, on in (("b", "d"), ("a", "d"), ("c", "e")):
        burn = CreditBurn(id=id, customer_id="acme", time=now, contract_id=on, amount=UNIT)
        assert isinstance(ledger.fold(burn, ORIGIN), Waiting)
    ledger.flush()

    ledger.begin_waits(now)
    ledger.flush()

    assert ledger.next_wait_over() == now + HOUR
    assert ledger.advance(now + HOUR) == []
    play_on(story, "contract d from 01-01 said 01-05")
    ledger.flush()
    assert [(fact.id, type(what)) for fact, what in ledger.advance(now + HOUR + 1)] == [("c", Refused)]
    assert ledger.next_wait_over() is None


# --- burns, early and late -------------------------------------------------------------------------------------------


def test_a_late_burn_from_before_each_move_changes_what_that_move_carried(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant first 10 to seat ana
        grant second 10 to seat ana from 06-12
        burn 1 by ana at 06-02
        move ana to di carrying at 06-10
        burn 1 by di at 06-11
        add ana at 06-12
        burn 1 by ana at 06-13
        move ana to ed carrying at 06-20
        burn 1 by ed at 06-21
        burn 2 by ana at 06-05
        burn 3 by ana at 06-15
        burn 4 by ana at 06-22
    """)

    assert (story.left("di"), story.left("ed")) == ({"first": "6"}, {"second": "5"})
    assert (story.overage("ana"), story.overage("di"), story.overage("ed")) == ("4", "0", "0")


def test_a_burn_passes_by_the_pools_of_other_contracts(play: Play) -> None:
    story = play("""
        contract c from 01-01
        contract d from 01-01
        grant ds 3 on d priority 1
        grant cs 3 on c priority 2
        grant all 3 to customer priority 3
        burn 1 at 01-02 on c id c1
        burn 1 at 01-02 on d id d1
        burn 1 at 01-03 on c id c2
        burn 1 at 01-03 on d id d2
        burn 2 at 01-04 on c id c3
        burn 2 at 01-04 on d id d3
        burn 2 at 01-05 on c id c4
    """)

    assert [story.paid(id) for id in ("c1", "c2", "c3", "c4")] == [
        ["1 of cs"], ["1 of cs"], ["1 of cs", "1 of all"], ["1 of all", "1 over"],
    ]  # fmt: skip
    assert [story.paid(id) for id in ("d1", "d2", "d3")] == [["1 of ds"], ["1 of ds"], ["1 of ds", "1 of all"]]


def test_at_the_instant_at_which_a_pool_ran_dry_the_id_decides_who_still_drew_on_it(play: Play) -> None:
    story = play("""
        grant shared 6 priority 1
        grant rest 10 priority 2
        burn 1 by ana at 01-02
        burn 1 by bo at 01-02
        burn 6 by cy at 01-03 id m
        burn 1 by ana at 01-03 id n
        burn 1 by bo at 01-03 id l
        burn 1 by ana at 01-02T23:59:59.999999 id before
        burn 1 by bo at 01-03T00:00:00.000001 id after
    """)

    assert {id: story.paid(id) for id in ("m", "n", "l", "before", "after")} == {
        "m": ["4 of shared", "2 of rest"],
        "n": ["1 of rest"],
        "l": ["1 of shared"],
        "before": ["1 of shared"],
        "after": ["1 of rest"],
    }
    assert story.left() == {"shared": "0", "rest": "4"}


@pytest.mark.parametrize(("to", "by", "who"), [("", "", "pool"), ("to seat ana", "by ana", "ana")])
def test_burns_slightly_out_of_order_are_paid_by_their_places(play: Play, to: str, by: str, who: str) -> None:
    story = play(f"""
        grant first 7 {to} priority 1
        grant second 7 {to} priority 2
        grant third 7 {to} priority 3
        burn 3 {by} at 01-10 id b10
        burn 3 {by} at 01-08 id b08
        burn 3 {by} at 01-12 id m
        burn 2 {by} at 01-12 id n
        burn 1 {by} at 01-12 id l
        burn 2 {by} at 01-11 id b11
        burn 2 {by} at 01-12 id o
        burn 2 {by} at 01-09 id b09
        burn 1 {by} at 01-07 id b07
    """)

    assert {id: story.paid(id) for id in ("b08", "m", "n", "l", "b11", "o", "b09", "b07")} == {
        "b08": ["3 of first"],
        "m": ["1 of first", "2 of second"],
        "n": ["2 of second"],
        "l": ["1 of first"],
        "b11": ["1 of first", "1 of second"],
        "o": ["2 of third"],
        "b09": ["2 of first"],
        "b07": ["1 of first"],
    }
    assert story.left(who) == {"first": "0", "second": "0", "third": "2"}


def test_whoever_comes_to_owe_after_its_own_credit_pays_from_the_next_of_the_pool(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant anas 2 to seat ana priority 1
        grant shared 5 priority 2
        burn 6 by bo at 01-02
        burn 1 by ana at 01-04
        burn 3 by ana at 01-05
        grant more 20 from 01-10
        burn 1 by bo at 01-11
    """)

    assert story.left() == {"shared": "0", "more": "16"}
    assert (story.overage("ana"), story.overage("bo")) == ("0", "0")


def test_a_debt_is_paid_from_a_pool_before_what_the_debtor_has_if_that_burns_first(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 7 by ana at 01-05
        grant shared 5 from 01-10 priority 1
        grant anas 5 to seat ana from 01-10 priority 2
        burn 1 by ana at 01-11
    """)

    assert (story.left(), story.left("ana")) == ({"shared": "0"}, {"anas": "2"})


def test_what_comes_to_the_customer_as_a_contract_ends_pays_no_debt_of_it(play: Play) -> None:
    story = play("""
        contract c carry from 01-01 until 02-01
        burn 4 by ana at 01-20
        grant all 10 to customer from 02-01
        grant ones 10 to customer from 01-25 until 02-01
        tick 02-02
    """)

    assert story.left("customer") == {"all": "10"}
    assert story.left("customer", "01-31") == {"ones": "6"}


def test_what_comes_with_a_contract_pays_its_debts_of_that_instant(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant all 10 to customer from 01-01
        grant more 10 from 01-02
        burn 12 by ana at 01-01
        burn 1 by bo at 01-02
    """)

    assert (story.left("customer"), story.left()) == ({"all": "0"}, {"more": "7"})


def test_several_debtors_are_paid_in_their_order_at_each_boundary(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 3 by bo at 01-02
        burn 3 by ana at 01-03
        burn 3 at 01-04
        grant one 4 from 01-10
        grant two 4 from 01-12
        burn 1 by cy at 01-13
        burn 2 by ana at 01-01
    """)

    at = ("01-09", "01-10", "01-12", "01-14")
    assert {who: [story.overage(who, each) for each in at] for who in ("pool", "ana", "bo", "cy")} == {
        "pool": ["3", "0", "0", "0"],
        "ana": ["5", "4", "0", "0"],
        "bo": ["3", "3", "3", "3"],
        "cy": ["0", "0", "0", "1"],
    }


def test_a_burn_taken_back_from_before_a_move_is_carried_after_all(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats ana
        grant gift 10 to seat ana
        burn 4 by ana at 06-05 id mistake
        burn 9 by ana at 06-06
        move ana to di carrying at 06-10
        burn 1 by di at 06-11
        take back mistake at 06-12
        burn 1 by di at 06-13
    """)

    assert (story.left("di"), story.overage("di"), story.overage("ana")) == ({"gift": "0"}, "1", "0")


# --- slices that are meant, given back, or shared out ----------------------------------------------------------------


def test_an_adjustment_of_one_slice_leaves_the_others_alone(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 10 to pool every P1M for 2 periods
        adjust monthly slice 0 by -1 at 07-10
        adjust monthly by -3 at 07-11
        adjust monthly by -5 seat ana at 07-12
    """)

    assert story.left() == {"monthly#0": "9", "monthly#1": "7"}


def test_what_was_carried_at_that_very_instant_is_there_for_an_adjustment_and_not_for_a_void(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 2 periods
        move ana to di carrying at 06-10
        adjust monthly by -3 seat di at 06-10
        void monthly seat di at 06-10
    """)

    assert story.left("di") == {"monthly": "7"}


def test_what_came_through_several_seats_is_what_started_last(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 3 periods
        move ana to di carrying at 06-10
        move di to ed carrying at 06-11
        adjust monthly by -3 seat ed at 06-12
        remove ed at 06-20
        void monthly seat ed at 07-20
    """)

    assert [story.left("ed", at) for at in ("06-13", "07-19", "07-21")] == [{"monthly": "7"}, {"monthly": "7"}, {}]


def test_of_an_own_and_a_carried_slice_the_one_that_burns_first_is_adjusted(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        add di at 06-11
        remove di at 06-16
        move ana to di carrying at 06-21
        adjust monthly by -25 seat di at 06-25
    """)

    assert story.entries("di") == ["granted 20 monthly", "moved_in 30 monthly", "adjusted -25 monthly"]
    assert story.balance("di") == "25"


def test_of_two_removals_the_first_that_was_for_good_decides(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M for 3 periods
        remove ana at 06-10
        add ana at 07-05
        remove ana at 07-10
        add ana at 07-15
        tick 07-16
    """)

    assert [len(story.left("ana", at)) for at in ("06-09", "06-10", "07-06", "07-10", "07-16")] == [1, 0, 1, 0, 1]


def test_of_two_removals_each_return_gives_back_what_it_found(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M
        remove ana at 06-10
        add ana at 06-12
        burn 3 by ana at 06-13
        remove ana at 06-14
        add ana at 06-16
    """)

    at = ("06-09", "06-11", "06-12", "06-15", "06-16")
    assert [story.balance("ana", each) for each in at] == ["10", "0", "10", "0", "7"]
    assert all(not line.beside for line in story.ledger.entries("acme", story.now))


def test_a_seat_that_burned_before_it_came_is_given_its_slice_when_it_comes(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        add di at 06-16 said 06-01
        burn 1 by di at 06-10
        burn 2 by di at 06-20
    """)

    assert (story.left("di"), story.overage("di")) == ({"monthly": "13"}, "1")


def test_the_smallest_amount_is_lifted_and_not_forfeited(play: Play) -> None:
    story = play("""
        grant ours 5 rollover min 5.000000001
        reset at 01-05
        grant more 1 rollover max 0.999999999 from 01-06
        reset at 01-07
    """)

    assert [line for line in story.entries() if "0.000000001" in line] == [
        "lifted 0.000000001 ours",
        "forfeited -0.000000001 more",
    ]


# --- operations of one edit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "at_fault", "said"),
    [
        ("unassigned -1 and unassigned -2 and unassigned -1", 1, "2 of 1"),
        ("unassigned -2 and unassigned -1", 1, "1 of 0"),
        ("unassigned -3 and unassigned -1", 0, "3 of 2"),
    ],
)
def test_the_operation_that_took_too_much_is_at_fault(edit: str, at_fault: int, said: str) -> None:
    story = language.play(f"""
        subscription team seats +2 unassigned
        {edit} at 01-10 id much
    """)

    refused = story.outcomes["much"]
    assert isinstance(refused, Refused)
    assert (refused.refusal.field, refused.refusal.message.split(" unassigned")[0]) == (
        f"operations[{at_fault}].quantity",
        said,
    )


def test_a_conversion_may_be_brought_forward_to_the_last_quantity_and_no_further(play: Play) -> None:
    story = play("""
        contract c from 01-01
        subscription team quantity 3
        quantity 4 at 01-10
        quantity 5 at 01-12T00:00:00.000001
        change team mode seats at 01-20
        add ana at 01-21
        change team mode seats at 01-12 id far
        change team mode seats at 01-12T00:00:00.000001 id near
        add bo at 01-13
        quantity 6 at 01-14 id wrong
    """)

    assert story.refused() == {"far": "wrong_mode", "wrong": "wrong_mode"}
    assert [story.seats("team", at) for at in ("01-11", "01-14", "01-22")] == ["+4", "bo +4", "ana bo +3"]


# --- questions -------------------------------------------------------------------------------------------------------


def test_a_row_is_there_from_the_instant_on_at_which_somebody_sits_or_is_given_anything(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        add bo at 06-10
        remove bo at 06-12
        grant gift 5 to seat zoe from 06-14 until 06-15
        burn 1 by yan at 06-16
    """)

    just = "06-09T23:59:59.999999"
    assert [story.scopes(at) for at in (just, "06-10", "06-12", "06-14", "06-15")] == [
        ["ana"], ["ana", "bo"], ["ana"], ["ana", "zoe"], ["ana", "zoe"],
    ]  # fmt: skip
    assert [story.scopes(at) for at in ("06-16", "06-16T00:00:00.000001")] == [["ana", "zoe"], ["ana", "yan", "zoe"]]


def test_what_may_be_spent_is_what_the_scope_may_draw_from_and_says_who_would_pay(play: Play) -> None:
    story = play("""
        contract d from 06-01
        grant ds 5
        contract c from 06-01
        recurring ours 3 to pool every P1M priority 2
        grant all 4 to customer priority 3
        grant anas 2 to seat ana priority 1
        grant bos 2 to seat bo priority 1
    """)

    def who_pays(amount: str, seat_id: str | None, at: str = "06-10") -> tuple[bool, list[tuple[str, int | None, str]]]:
        scope = Scope(customer_id="acme", contract_id="c", seat_id=seat_id)
        enough, paid = story.ledger.available(scope, instant(f"2026-{at}T00:00:00Z"), parse(amount))
        return enough, [(grant_id, slice, text(took)) for grant_id, slice, took in paid]

    assert who_pays("8", "ana") == (True, [("anas", None, "2"), ("ours", 0, "3"), ("all", None, "3")])
    assert who_pays("9.000000001", "ana")[0] is False
    assert who_pays("3", None) == (True, [("ours", 0, "3")])
    assert who_pays("7.000000001", None) == (False, [("ours", 0, "3"), ("all", None, "4")])
    assert who_pays("1", "ana", "05-31") == (False, [])


def test_a_seat_draws_on_its_next_grant_from_its_very_first_instant(play: Play) -> None:
    story = play("""
        grant first 5 to seat ana priority 2
        grant second 5 to seat ana from 01-10 until 01-20 priority 1
        burn 1 by ana at 01-09 id a
        burn 1 by ana at 01-10 id b
        burn 1 by ana at 01-19 id c
        burn 1 by ana at 01-20 id d
    """)

    assert [story.paid(id) for id in "abcd"] == [["1 of first"], ["1 of second"], ["1 of second"], ["1 of first"]]


@pytest.mark.parametrize(("to", "by", "who"), [("", "", "pool"), ("to seat ana", "by ana", "ana")])
def test_a_burn_between_the_last_two_is_paid_by_what_came_before_it(play: Play, to: str, by: str, who: str) -> None:
    story = play(f"""
        grant first 7 {to} priority 1
        grant second 7 {to} priority 2
        grant third 7 {to} priority 3
        burn 3 {by} at 01-10 id a
        burn 3 {by} at 01-14 id b
        burn 3 {by} at 01-12 id c
        burn 2 {by} at 01-13 id d
        burn 2 {by} at 01-14 id bb
        burn 1 {by} at 01-14 id ba
        burn 1 {by} at 01-14 id aa
        take back bb at 01-15
        burn 2 {by} at 01-14 id bc
        burn 1 {by} at 01-13T12:00 id e
    """)

    assert {id: story.paid(id) for id in ("b", "c", "d", "bb", "ba", "aa", "bc", "e")} == {
        "b": ["3 of first"],
        "c": ["3 of first"],
        "d": ["1 of first", "1 of second"],
        "bb": ["2 of second"],
        "ba": ["1 of second"],
        "aa": ["1 of second"],
        "bc": ["1 of second", "1 of third"],
        "e": ["1 of second"],
    }
    assert story.left(who) == {"first": "0", "second": "0", "third": "5"}


def test_whoever_comes_to_owe_since_others_emptied_the_pool_pays_from_the_next_of_it(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant anas 2 to seat ana priority 1
        grant shared 5 priority 2
        burn 1 by ana at 01-02
        burn 6 by bo at 01-03
        burn 3 by ana at 01-05
        grant more 20 from 01-10
        burn 1 by cy at 01-11
    """)

    assert story.left() == {"shared": "0", "more": "16"}


def test_of_a_contract_that_was_refused_nothing_is_there(play: Play) -> None:
    story = play("""
        contract c from 06-01 id refused bringing
        subscription units quantity 2
        grant ours 5
        recurring a 10 per seat of units every P1M
        contract c from 06-01 id anew
        grant ours 7
    """)

    assert (story.refused(), story.left()) == ({"refused": "wrong_mode"}, {"ours": "7"})


def test_what_a_late_burn_leaves_of_a_revoked_slice_is_given_back(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 10 per seat of team every P1M
        burn 1 by ana at 06-02
        remove ana at 06-10
        burn 2 by ana at 06-12
        add ana at 06-20
        burn 1 by ana at 06-21
        burn 3 by ana at 06-05
    """)

    assert (story.left("ana"), story.overage("ana")) == ({"monthly": "5"}, "2")


def test_two_pools_give_and_take_as_burns_before_them_come_and_go(play: Play) -> None:
    story = play("""
        grant one 5 priority 1
        grant two 5 priority 2
        burn 5 by ana at 01-02 id x
        burn 4 by bo at 01-03
        burn 3 by cy at 01-04
        burn 2 by di at 01-05
    """)

    def now() -> tuple[list[str], list[str]]:
        return [story.overage(who) for who in ("ana", "bo", "cy", "di")], list(story.left().values())

    assert now() == (["0", "0", "2", "2"], ["0", "0"])
    play_on(story, "take back x at 01-06")
    assert now() == (["0", "0", "0", "0"], ["0", "1"])
    play_on(story, "burn 4 by ana at 01-01 id y")
    assert now() == (["0", "0", "1", "2"], ["0", "0"])
    play_on(story, "burn 5 by ana at 01-03T12:00 id z")
    assert now() == (["3", "0", "3", "2"], ["0", "0"])
    play_on(story, "take back y at 01-06")
    assert now() == (["0", "0", "2", "2"], ["0", "0"])
    play_on(story, "take back z at 01-06")
    assert now() == (["0", "0", "0", "0"], ["0", "1"])
    play_on(story, "burn 12 by ana at 01-02 id w")
    assert now() == (["2", "4", "3", "2"], ["0", "0"])
    play_on(story, "take back w at 01-06")
    assert now() == (["0", "0", "0", "0"], ["0", "1"])


def test_a_late_burn_leaves_less_to_every_stretch_that_follows(play: Play) -> None:
    story = play("""
        contract c from 01-01
        grant old 10 until 03-01 priority 1 rollover max 5
        grant new 5 from 02-01 priority 2
        grant anas 5 to seat ana from 01-20 priority 3
        burn 2 by ana at 01-05
        reset at 01-15
        burn 2 by ana at 01-25
        burn 4 by bo at 02-05
        burn 4 by ana at 02-06
        burn 2 by bo at 03-02
        burn 5 by cy at 01-10
    """)

    assert [story.granted("pool", at) for at in ("01-14", "01-16", "02-02")] == ["10", "3", "8"]
    assert [story.balance("pool", at) for at in ("01-14", "01-24", "01-26", "02-02", "02-07")] == [
        "3",
        "3",
        "1",
        "6",
        "0",
    ]
    assert (story.left("ana"), story.overage("ana"), story.overage("bo")) == ({"anas": "3"}, "0", "2")


def test_what_is_burned_after_its_contract_draws_from_nobody_however_often(play: Play) -> None:
    story = play("""
        contract c from 01-01 until 02-01
        grant all 10 to customer
        burn 1 by ana at 01-31
        burn 1 by ana at 02-05
        burn 1 by ana at 02-06
    """)

    assert (story.left("customer"), story.overage("ana")) == ({"all": "9"}, "2")


def test_the_smallest_amount_is_paid_by_somebody(play: Play) -> None:
    story = play("""
        grant anas 0.000000002 to seat ana priority 1
        grant shared 0.000000002 priority 2
        burn 0.000000001 by ana at 01-02 id a
        burn 0.000000001 by ana at 01-03 id b
        burn 0.000000001 by ana at 01-04 id c
        burn 0.000000001 by ana at 01-05 id d
        burn 0.000000001 by ana at 01-06 id e
        burn 0.000000001 by ana at 01-07 id f
    """)

    assert [story.paid(id) for id in "abcdef"] == [
        *[["0.000000001 of anas"]] * 2, *[["0.000000001 of shared"]] * 2, *[["0.000000001 over"]] * 2,
    ]  # fmt: skip


def test_the_smallest_debt_is_paid(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant shared 0.000000002
        burn 0.000000001 by ana at 01-02
        burn 0.000000001 by bo at 01-02
        burn 0.000000001 by bo at 01-03
        burn 0.000000001 by ana at 01-03
        grant more 0.000000003 from 01-10
        burn 0.000000001 by cy at 01-11
    """)

    assert (story.overage("ana"), story.overage("bo"), story.overage("cy")) == ("0", "0", "0")
    assert story.left() == {"shared": "0", "more": "0"}


def test_an_id_may_have_what_names_are_put_together_with(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats a/n\\a>
        grant g/i/f 10 to seat a/n\\a>
        burn 4 by a/n\\a> at 06-02 id b
        move a/n\\a> to d/i carrying at 06-10
        burn 1 by d/i at 06-11
    """)

    assert (story.paid("b"), story.left("d/i")) == (["4 of g/i/f"], {"g/i/f": "5"})

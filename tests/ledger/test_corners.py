"""Corners that a mutation run showed to be unguarded; each is a few lines for the pencil."""

import pytest

from ledger.amounts import UNIT
from ledger.facts import (
    CreditBurn,
    Grant,
    MoveSeat,
    PeriodReset,
    Recurrence,
    RecurringCredit,
    Rollover,
    SeatChange,
    Subscription,
)
from ledger.instants import DAY, FOREVER, HOUR, MINUTE, Every, InstantError, instant, text
from ledger.ledger import Ledger
from ledger.order import STEP
from ledger.outcome import Refused
from tests.ledger.language import Play, play_on
from tests.ledger.memory import MemoryRows

# --- late burns within a stretch -------------------------------------------------------------------------------------


POOL_AND_SEAT = pytest.mark.parametrize(("to", "by", "who"), [("", "", "pool"), ("to seat ana", "by ana", "ana")])


@POOL_AND_SEAT
def test_a_late_burn_is_paid_by_what_was_there_and_not_by_what_is_left_now(
    play: Play, to: str, by: str, who: str
) -> None:
    story = play(f"""
        grant first 10 {to} priority 1
        grant second 10 {to} priority 2
        burn 4 {by} at 01-05
        burn 8 {by} at 01-03 id late
        burn 1 {by} at 01-04 id later
        burn 5 {by} at 01-06 id last
    """)

    assert story.paid("late") == ["8 of first"]
    assert story.paid("later") == ["1 of first"]
    assert story.paid("last") == ["5 of second"]
    assert story.left(who, "01-05T01:00") == {"first": "0", "second": "7"}


@POOL_AND_SEAT
def test_a_burn_that_was_taken_back_is_no_later_burn_for_a_late_one(play: Play, to: str, by: str, who: str) -> None:
    story = play(f"""
        grant first 10 {to} priority 1
        grant second 10 {to} priority 2
        burn 1 {by} at 01-04
        burn 3 {by} at 01-05 id mistake
        take back mistake at 01-06
        burn 6 {by} at 01-03 id late
        burn 6 {by} at 01-06 id last
    """)

    assert story.paid("late") == ["6 of first"]
    assert story.paid("last") == ["3 of first", "3 of second"]
    assert story.left(who) == {"first": "0", "second": "7"}


@POOL_AND_SEAT
def test_each_of_many_late_burns_is_paid_by_its_own_place(play: Play, to: str, by: str, who: str) -> None:
    story = play(f"""
        grant first 10 {to} priority 1
        grant second 10 {to} priority 2
        burn 3 {by} at 01-09 id i
        burn 3 {by} at 01-08 id h
        burn 3 {by} at 01-07 id g
        burn 3 {by} at 01-06 id f
        burn 3 {by} at 01-05 id e
        take back h at 01-10
        burn 3 {by} at 01-07T12:00 id gg
        burn 3 {by} at 01-04 id d
        take back e at 01-10
        burn 3 {by} at 01-08T12:00 id hh
    """)

    assert story.paid("hh") == ["3 of second"]
    assert story.paid("gg") == ["1 of first", "2 of second"]
    assert story.paid("d") == ["3 of first"]
    assert story.left(who) == {"first": "0", "second": "2"}


@pytest.mark.parametrize("late", ["01-02", "01-10", "01-20"])
def test_wherever_a_late_burn_falls_the_sum_is_the_same(play: Play, late: str) -> None:
    lines = "\n".join(f"burn 1 at 01-{n:02}T12:00 id b{n:02}" for n in range(1, 25))
    story = play(f"""
        contract c from 01-01
        grant first 10 priority 1
        grant second 20 priority 2
        {lines}
        burn 2 at {late} id late
    """)

    assert story.left() == {"first": "0", "second": "4"}
    assert story.paid("late") == {"01-02": ["2 of first"], "01-10": ["1 of first", "1 of second"]}.get(
        late, ["2 of second"]
    )
    assert [line for line in story.entries() if line.startswith("burned")].count("burned -1 first") == {
        "01-02": 8,
        "01-10": 10,
        "01-20": 10,
    }[late]


def test_a_burn_taken_back_in_a_closed_stretch_gives_back_what_expires(play: Play) -> None:
    story = play("""
        grant old 10 until 02-01 rollover
        grant new 5 from 02-01
        burn 12 at 01-10 id big
        burn 3 at 02-02
        take back big at 02-03
    """)

    assert story.entries() == ["granted 10 old", "expired -10 old", "granted 5 new", "burned -3 new"]
    assert story.overage() == "0"


# --- shared pools ----------------------------------------------------------------------------------------------------


def test_a_pool_that_ran_dry_gives_back_to_the_last_who_found_it_empty(play: Play) -> None:
    story = play("""
        grant shared 10
        burn 4 by ana at 01-02 id one
        burn 4 by bo at 01-03 id two
        burn 4 by cy at 01-04 id three
        burn 4 by di at 01-05 id four
        take back one at 01-06
    """)

    assert [story.overage(who) for who in ("bo", "cy", "di")] == ["0", "0", "2"]
    assert story.left() == {"shared": "0"}


def test_a_seats_own_credit_ranks_among_the_shared_by_priority(play: Play) -> None:
    story = play("""
        grant early 5 priority 1
        grant anas 5 to seat ana priority 2
        grant late 5 priority 3
        grant all 5 to customer priority 4
        burn 7 by ana at 01-02
        burn 6 by bo at 01-03
        burn 1 by ana at 01-04
    """)

    assert story.left("ana") == {"anas": "2"}
    assert story.left() == {"early": "0", "late": "0"}
    assert story.left("customer") == {"all": "4"}


def test_a_late_burn_on_a_dry_pool_pushes_the_last_taker_to_its_own_credit(play: Play) -> None:
    story = play("""
        grant shared 10 priority 1
        grant bos 3 to seat bo priority 2
        burn 6 by ana at 01-05
        burn 4 by bo at 01-06
        burn 5 by cy at 01-04
    """)

    assert story.left("bo") == {"bos": "0"}
    assert [story.overage(who) for who in ("ana", "bo", "cy")] == ["1", "1", "0"]
    assert story.entries("bo") == ["granted 3 bos", "burned -3 bos", "overage 1"]


def test_types_of_credit_do_not_mix(play: Play) -> None:
    story = play("""
        grant ours 10
        grant ai 10 tokens
        burn 4 tokens at 01-02
        burn 3 at 01-02
    """)

    assert (story.left(), story.left(of="tokens")) == ({"ours": "7"}, {"ai": "6"})


def test_contracts_of_one_customer_share_the_customers_pool_only(play: Play) -> None:
    story = play("""
        contract c from 01-01
        contract d from 01-01
        grant cs 5 on c
        grant ds 5 on d
        grant all 5 to customer
        burn 7 at 01-02 on c
        burn 4 at 01-03 on d
    """)

    assert story.left("customer") == {"all": "0"}  # by id it stands before `cs` and `ds`
    assert (story.left("pool", on="c"), story.left("pool", on="d")) == ({"cs": "3"}, {"ds": "1"})


# --- debts -----------------------------------------------------------------------------------------------------------


def test_a_debt_is_paid_by_the_slice_of_the_next_period(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M
        burn 14 by ana at 06-10
    """)

    assert story.left("ana", "07-01") == {"monthly": "6"}
    assert story.entries("ana", "07-02") == [
        "granted 10 monthly", "burned -10 monthly", "overage 4", "granted 10 monthly", "debt_paid -4 monthly",
    ]  # fmt: skip


def test_a_late_burn_makes_a_debt_that_a_later_grant_has_paid_since(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant topup 10 to seat ana from 01-10
        burn 3 by ana at 01-15
        burn 4 by ana at 01-05
    """)

    assert story.left("ana") == {"topup": "3"}
    assert story.overage("ana", "01-09") == "4"
    assert story.overage("ana") == "0"


def test_a_burn_taken_back_unmakes_the_debt_that_was_paid(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 4 by ana at 01-05 id mistake
        grant topup 10 to seat ana from 01-10
        take back mistake at 01-12
    """)

    assert story.left("ana") == {"topup": "10"}
    assert story.entries("ana") == ["granted 10 topup"]


def test_a_reset_forgives_a_debt_unless_it_preserves_it(play: Play) -> None:
    for words, left, over in (("reset", "10", "0"), ("reset preserving overage", "6", "4")):
        story = play(f"""
            contract c carry from 01-01
            burn 4 by ana at 01-05
            {words} at 01-08
            grant topup 10 to seat ana from 01-10
        """)
        assert (story.overage("ana", "01-09"), story.left("ana")) == (over, {"topup": left})


def test_a_recurrence_pays_a_debt_out_of_its_full_amount(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        grant weekly 10 every P1W
        burn 12 at 01-05
    """)

    assert story.left("pool", "01-08") == {"weekly": "8"}


# --- voids, adjustments, ends ----------------------------------------------------------------------------------------


def test_a_void_without_a_slice_means_the_one_that_started_last(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 10 to pool every P1M for 2 periods
        void monthly at 07-10
    """)

    assert story.left("pool", "07-10") == {"monthly": "10"}  # June's, which lives until August
    assert story.left("pool", "08-01") == {"monthly": "10"}


def test_a_void_may_name_its_slice_and_its_seat(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M for 2 periods
        void monthly slice 0 seat bo at 07-10
    """)

    assert story.left("ana", "07-10") == {"monthly#0": "10", "monthly#1": "10"}
    assert story.left("bo", "07-10") == {"monthly": "10"}


def test_of_two_voids_the_one_said_last_counts(play: Play) -> None:
    story = play("""
        grant ours 10
        void ours at 01-20 said 01-05
        void ours at 01-10 said 01-04
    """)

    assert story.left("pool", "01-10") == {"ours": "10"}
    assert story.left("pool", "01-20") == {}


def test_an_adjustment_of_a_seats_slice_names_the_seat(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
        adjust monthly by 5 seat ana at 06-10
        adjust monthly by 5 at 06-10 id whose
        adjust monthly by -20 seat bo at 06-11
    """)

    assert story.refused() == {"whose": "missing_field"}
    assert (story.left("ana"), story.left("bo")) == ({"monthly": "15"}, {"monthly": "0"})
    assert story.granted("ana") == "15"


def test_what_is_not_there_cannot_be_voided_and_waits(play: Play) -> None:
    story = play("""
        void ours at 01-05 said 01-05
        grant ours 10 from 01-01 said 01-05
    """)

    assert story.waiting() == []
    assert story.left("pool", "01-04") == {"ours": "10"}
    assert story.left("pool", "01-05") == {}


def test_an_end_of_a_contract_said_later_cuts_and_a_lift_heals(play: Play) -> None:
    story = play("""
        contract c from 01-01
        grant ours 10
        burn 3 at 02-10 id after
        end contract at 02-01 said 01-20
    """)

    assert story.left("pool", "01-31") == {"ours": "10"}
    assert story.overage("pool", "02-11") == "3"
    play_on(story, "end contract never at 02-12")
    assert story.left() == {"ours": "7"}
    assert story.overage() == "0"


def test_an_ended_subscription_has_nobody_and_earns_nothing_and_what_it_gave_stays(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana +1 unassigned revoking
        recurring monthly 10 per seat of team every P1M
        end team at 06-20
    """)

    assert story.seats("team", "06-19") == "ana +1"
    assert story.seats("team", "06-20") == "+0"
    assert story.left("ana", "06-20") == {"monthly": "10"}
    assert story.left("ana", "07-01") == {}


# --- seats -----------------------------------------------------------------------------------------------------------


def test_a_seat_that_a_removal_revoked_returns_in_the_next_period_as_a_new_one(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 100 per seat of team every P1M for 2 periods
        burn 30 by ana at 06-05
        remove ana at 06-10
        add ana at 07-16
    """)

    assert story.left("ana", "07-15") == {}
    assert story.left("ana", "07-16") == {"monthly": "51.612903226"}  # 100 x 16/31


def test_a_return_exactly_at_the_next_period_gives_nothing_back(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 100 per seat of team every P1M for 2 periods
        burn 30 by ana at 06-05
        remove ana at 06-10
        add ana at 07-01
    """)

    assert story.left("ana", "07-01") == {"monthly": "100"}
    assert "restored 70 monthly" not in story.entries("ana")


def test_a_move_is_no_removal_and_revokes_nothing(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 100 per seat of team every P1M
        move ana to di at 06-16
    """)

    assert story.left("ana", "06-16") == {"monthly": "100"}


def test_a_carried_balance_keeps_its_window_and_rank(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 10 to seat ana until 06-20 priority 5
        move ana to di carrying at 06-10
        move di to ed carrying at 06-12
        burn 4 by di at 06-11
    """)

    assert story.left("ed", "06-19") == {"gift": "6"}
    assert story.left("ed", "06-20") == {}
    assert story.entries("di", "06-15") == ["moved_in 10 gift", "burned -4 gift", "moved_out -6 gift"]


def test_who_carried_and_comes_back_within_the_period_has_earned_already(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        move ana to di carrying at 06-10
        add ana at 06-20
    """)

    assert story.left("ana", "06-20") == {}
    assert story.left("ana", "07-01") == {"monthly": "100"}
    assert story.left("di", "07-01") == {"monthly": "100"}


def test_a_late_edit_unearns_what_never_was_and_the_burn_is_paid_anew(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M priority 1
        grant ours 50 priority 2
        burn 30 by ana at 06-05
        remove ana at 06-01 said 06-06
    """)

    assert story.left("ana", "06-07") == {}
    assert story.left("pool", "06-07") == {"ours": "20"}


def test_an_edit_that_would_break_a_later_one_is_refused(play: Play) -> None:
    story = play("""
        subscription team seats +2 unassigned
        unassigned -2 at 01-20
        unassigned -1 at 01-10 id early
    """)

    assert story.refused() == {"early": "below_zero"}
    assert story.seats("team", "01-21") == "+0"


def test_sequence_orders_what_was_submitted_at_once(play: Play) -> None:
    story = play("""
        subscription team quantity 10
        quantity 5 at 01-10 sequence 2
        quantity 7 at 01-10 sequence 1
    """)

    assert story.counts("team", "01-10").total == 5


def test_quantity_turns_into_unassigned_seats_and_not_back(play: Play) -> None:
    story = play("""
        subscription team quantity 3
        change team mode seats at 01-10
        add ana at 01-11
        quantity 5 at 01-12 id wrong
    """)

    assert story.refused() == {"wrong": "wrong_mode"}
    assert story.seats("team", "01-11") == "ana +2"


# --- recurring credits -----------------------------------------------------------------------------------------------


def test_slices_are_touched_by_a_reset_only_with_a_rollover(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring plain 10 to pool every P1M priority 1
        recurring rolling 10 to pool every P1M priority 2 rollover max 4
        reset at 06-10
    """)

    assert story.left("pool", "06-10") == {"plain": "10", "rolling": "4"}


def test_a_raised_slice_goes_on_from_what_was_left(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 1
        recurring monthly 30 per unit of team every P1M
        burn 40 at 06-10
        quantity 2 at 06-16
        burn 5 at 06-20
    """)

    assert story.left("pool", "06-15") == {"monthly": "0"}
    assert story.left("pool", "06-21") == {"monthly": "10"}
    assert story.overage("pool", "06-21") == "10"
    assert story.granted("pool", "06-21") == "45"


def test_a_change_of_a_recurring_credit_leaves_the_running_period_alone(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 10 to pool every P1M
        change monthly amount 20 at 06-30
        change monthly amount 30 at 07-01
    """)

    assert [story.balance("pool", at) for at in ("06-30", "07-01", "08-01")] == ["10", "20", "30"]


# --- identity --------------------------------------------------------------------------------------------------------


def test_a_refused_fact_stays_refused_though_it_would_fit_by_now(play: Play) -> None:
    story = play("""
        subscription team quantity 1
        quantity -2 at 01-10 id much
        quantity +5 at 01-11
        again much
    """)

    assert [type(repeat.first) for repeat in story.repeats] == [Refused]
    assert story.counts().total == 6


def test_a_fact_that_waited_and_was_refused_then_stays_refused(play: Play) -> None:
    story = play("""
        quantity -2 in team at 01-02 on c id much
        contract c from 01-01 said 01-02
        subscription team quantity 1 said 01-02
        quantity +5 at 01-03
        again much
    """)

    assert story.refused() == {"much": "below_zero"}
    assert [type(repeat.first) for repeat in story.repeats] == [Refused]
    assert story.counts().total == 6


def test_a_repeat_with_another_body_is_told_apart_and_changes_nothing(play: Play) -> None:
    story = play("""
        grant ours 10
        burn 4 at 01-02 id b
        again b
        again b but 5
    """)

    assert [repeat.differs for repeat in story.repeats] == [False, True]
    assert story.left() == {"ours": "6"}


def test_ids_of_burns_and_of_edits_are_different_names(play: Play) -> None:
    story = play("""
        subscription team quantity 1
        quantity 2 at 01-02 id same
        burn 4 at 01-02 id same
    """)

    assert not story.repeats
    assert (story.counts().total, story.overage()) == (2, "4")


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["wait_customer", "wait_partition"])
def test_what_waits_is_bounded_and_makes_room_when_it_is_folded(play: Play, bound: str) -> None:
    story = play(
        """
        burn 1 at 01-02 on d id one
        burn 1 at 01-02 on d id two
        burn 1 at 01-02 on d id three
        contract d from 01-01 said 01-02
        burn 1 at 01-03 on e id four
        burn 1 at 01-03 on e id five
        burn 1 at 01-03 on e id six
        """,
        **{bound: 2},
    )

    assert story.refused() == {"three": "waiting_full", "six": "waiting_full"}
    assert story.waiting() == ["four", "five"]


def test_a_wait_that_was_over_makes_room_and_the_fact_may_come_again(play: Play) -> None:
    story = play(
        """
        burn 1 at 01-02 on d id one
        tick 01-02T01:00
        burn 1 at 01-02 on d id two
        tick 01-02T01:01
        burn 1 at 01-02 on d id three
        contract d from 01-01 said 01-02T01:01
        again one
        """,
        wait_customer=1,
        wait=HOUR,
    )

    assert story.refused() == {"two": "waiting_full"}
    assert story.overage() == "2"


def test_the_lateness_bound_is_exact(play: Play) -> None:
    story = play(
        """
        contract c from 01-01
        grant ours 10
        tick 02-01
        burn 1 at 01-22 id just
        burn 1 at 01-21T23:59:59.999999 id beyond
        void ours at 01-21 said 02-01 id void
        reset at 01-22
        """,
        lateness=10 * DAY,
    )

    assert story.refused() == {"beyond": "too_late", "void": "too_late"}
    assert story.paid("just") == ["1 of ours"]


def test_a_burn_may_run_ahead_of_the_clock_by_so_much_and_no_more(play: Play) -> None:
    story = play("grant ours 10", ahead=DAY)
    for id, ahead in (("just", DAY), ("beyond", DAY + 1)):
        burn = CreditBurn(id=id, customer_id="acme", time=story.now + ahead, contract_id="c", amount=UNIT)
        story.outcomes[id] = story.ledger.fold(burn, story.now)

    assert story.refused() == {"beyond": "time_in_future"}


def test_an_identity_is_remembered_for_the_lateness_bound_and_then_too_late(play: Play) -> None:
    story = play(
        """
        contract c from 01-01
        grant ours 10
        burn 1 at 01-02 id b
        tick 01-12
        again b
        tick 01-12T00:00:00.000001
        again b
        """,
        lateness=10 * DAY,
    )

    assert len(story.repeats) == 1
    assert story.refused() == {"b": "too_late"}
    assert story.left() == {"ours": "9"}


def test_two_contracts_hold_a_burn_and_the_one_where_the_seat_sits_is_meant(play: Play) -> None:
    story = play("""
        contract c from 01-01
        subscription team seats ana
        contract d from 01-01
        subscription staff seats bo
        grant bos 10 to seat bo
        burn 4 by bo anywhere at 01-05 id clear
        burn 4 by ed anywhere at 01-05 id unclear
        tick 01-06
    """)

    assert story.paid("clear") == ["4 of bos"]
    assert story.refused() == {"unclear": "wait_over"}


def test_a_seat_that_was_added_is_no_heir_and_its_slice_is_its_own(play: Play) -> None:
    """A carried move and an ordinary arrival within one period, side by side."""
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 30 per seat of team every P1M
        move ana to di carrying at 06-11
        remove bo and add ed at 06-16
        burn 5 by ana at 06-02
        burn 5 by di at 06-12
    """)

    assert story.left("di", "06-20") == {"monthly": "20"}
    assert story.left("ed", "06-20") == {"monthly": "15"}
    assert story.left("bo", "06-20") == {"monthly": "30"}
    assert [story.left(who, "07-01") for who in ("ana", "bo", "di", "ed")] == [
        {},
        {},
        {"monthly": "30"},
        {"monthly": "30"},
    ]


def test_a_carried_debt_is_paid_by_the_heirs_own_grant_and_by_the_pool(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        subscription team seats cy
        burn 7 by cy at 01-05
        move cy to ana carrying at 01-06
        grant gift 2 to seat ana from 01-08
        grant ours 3 from 01-10
    """)

    assert [story.overage("ana", at) for at in ("01-06", "01-08", "01-10")] == ["7", "5", "2"]


def test_a_carried_debt_is_paid_by_the_customers_pool(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        subscription team seats cy
        burn 7 by cy at 01-05
        move cy to ana carrying at 01-06
        grant all 3 to customer from 01-10
    """)

    assert (story.left("customer"), story.overage("ana")) == ({"all": "0"}, "4")


@POOL_AND_SEAT
def test_a_late_burn_leaves_less_to_take_back_though_nothing_is_left_either_way(
    play: Play, to: str, by: str, who: str
) -> None:
    story = play(f"""
        grant ours 10 {to}
        burn 8 {by} at 01-04
        adjust ours by -2 at 01-05
        tick 01-06
        burn 2 {by} at 01-03
    """)

    assert (story.left(who), story.granted(who)) == ({"ours": "0"}, "10")
    assert story.entries(who)[-1] == "lapsed -2 ours"


def test_what_came_late_reaches_the_heir_of_the_heir(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        burn 1 by ana at 06-02
        move ana to di carrying at 06-11
        burn 1 by di at 06-12
        move di to ed carrying at 06-13
        burn 1 by ed at 06-14
        adjust monthly by -10 seat ana at 06-10
        burn 5 by ana at 06-10T23:59:59.999999
    """)

    assert story.left("ed") == {"monthly": "12"}
    assert story.entries("di") == ["moved_in 14 monthly", "burned -1 monthly", "moved_out -13 monthly"]


def test_a_pool_filled_again_serves_those_of_the_instant_it_ran_dry_by_their_ids(play: Play) -> None:
    story = play("""
        grant shared 10 priority 1
        grant rest 10 priority 2
        burn 6 by ana at 01-02 id a
        burn 6 by bo at 01-02 id b
        burn 6 by cy at 01-02 id c
        burn 1 at 01-01 id x
        take back a at 01-03
    """)

    assert story.left() == {"shared": "0", "rest": "7"}
    assert sorted(line for line in story.entries("pool") if line.startswith("burned")) == [
        "burned -1 shared",
        "burned -3 rest",
        "burned -3 shared",
        "burned -6 shared",
    ]


def test_a_void_that_names_a_seat_leaves_the_pools_slice_alone(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 10 to pool every P1M
        void monthly seat ana at 06-10
        void monthly seat ana at 07-01
    """)

    assert [story.left("pool", at) for at in ("06-11", "07-01")] == [{"monthly": "10"}, {"monthly": "10"}]


def test_a_late_burn_after_a_carried_move_is_the_debt_of_who_burned(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats cy
        grant ours 1
        burn 7 by cy at 06-01
        move cy to ana carrying at 06-02
        adjust ours by -1 at 06-08
        burn 2 at 06-09
        burn 10 by cy at 06-04
    """)

    assert [story.overage(who) for who in ("ana", "cy", "pool")] == ["6", "10", "2"]


# --- where two instants meet -----------------------------------------------------------------------------------------


def test_two_boundaries_a_microsecond_apart_are_two(play: Play) -> None:
    story = play("""
        grant ours 10 from 02-01
        grant more 5 from 02-01T00:00:00.000001 priority 1
        grant third 5 from 03-01
        burn 1 by ana at 02-01
        burn 1 by bo at 02-01T00:00:00.000001
        burn 1 by ana at 03-02
        burn 2 by cy at 02-01
    """)
    assert story.left("pool", "02-01") == {"ours": "10"}
    assert story.left("pool", "02-10") == {"more": "4", "ours": "7"}
    assert story.left() == {"more": "3", "ours": "7", "third": "5"}


def test_an_end_that_is_said_when_a_slice_starts_cuts_its_amount(play: Play) -> None:
    """L10: if it is said at or before the slice's start; a later one only closes the window."""
    story = "recurring monthly 28 to pool every P1M \n end monthly at 02-15 said {} \n"
    assert play(story.format("02-01")).left("pool", "02-02") == {"monthly": "14"}
    assert play(story.format("02-01T00:00:00.000001")).left("pool", "02-02") == {"monthly": "28"}


def test_what_was_paid_for_stays_paid_until_its_period_is_over_and_no_longer(play: Play) -> None:
    story = "subscription team seats ana bo price 10 \n"
    assert play(story + "end team at 01-20").counts(at="01-25").paid == 2
    assert play(story + "end team at 02-01").counts(at="01-31").paid == 2
    assert play(story + "end team at 02-01").counts(at="02-01").paid == 0
    assert play(story + "end team at 01-01").counts(at="01-10").paid == 0


def test_a_burn_may_be_taken_back_up_to_the_lateness_bound(play: Play) -> None:
    story = "tick 01-05 \n burn 1 at 01-02 id b \n take back b at {} id back"
    assert play(story.format("01-12"), lateness=10 * DAY).refused() == {}
    assert play(story.format("01-12T00:00:00.000001"), lateness=10 * DAY).refused() == {"back": "too_late"}


# --- who is at hand --------------------------------------------------------------------------------------------------


def test_each_new_seat_has_a_place_of_its_own_also_if_its_first_burn_is_late(play: Play) -> None:
    story = play("""
        grant ours 10 from 01-01 priority 200
        grant more 5 from 02-01 priority 200
        grant cys 5 to seat cy from 01-01
        grant dis 5 to seat di from 01-01
        burn 1 by ana at 01-05
        burn 1 by bo at 02-10
        burn 1 by cy at 01-06
        burn 2 by di at 01-07
        burn 1 by cy at 01-09
        burn 1 by cy at 01-10
    """)
    assert story.left("cy", "01-08") == {"cys": "4"}
    assert story.left("di", "01-08") == {"dis": "3"}


# --- what holds where nobody says otherwise --------------------------------------------------------------------------


def test_the_bounds_of_a_ledger_that_was_told_none() -> None:
    ledger = Ledger(MemoryRows())
    assert (ledger.lateness, ledger.ahead, ledger.wait) == (34 * DAY, 24 * HOUR, 10 * MINUTE)
    assert (ledger.wait_customer, ledger.wait_partition) == (10_000, 100_000)


def test_what_a_fact_means_that_leaves_out_what_it_may() -> None:
    recurring = RecurringCredit(
        recurring_credit_id="monthly", amount=1, every=Every(1, "month"), anchor=0, starting_at=0
    )  # fmt: skip
    assert (recurring.priority, recurring.duration_periods, recurring.ending_before) == (100, 1, FOREVER)
    assert (recurring.allocation, recurring.proration, recurring.prorate_increases) == (
        "pooled",
        "first_and_last",
        True,
    )
    given = Grant(grant_id="gift", amount=1, effective_at=0)
    assert (given.priority, given.burn_class, given.expires_at) == (100, "standard", FOREVER)
    assert (Rollover().min, Rollover().max) == (0, None)
    move = MoveSeat(from_seat_id="ana", to_seat_id="bo", starting_at=0)
    assert not move.carry_balance
    edit = SeatChange(id="e", customer_id="acme", time=0, operations=(move,))
    assert (edit.sequence, edit.expected_version) == (0, None)
    assert not PeriodReset(id="r", customer_id="acme", time=0).preserve_overage
    team = Subscription(
        subscription_id="team", mode="seats", starting_at=0, billing_period=Recurrence(every=Every(1, "month"), anchor=0)
    )  # fmt: skip
    assert (team.quantity, team.unassigned_seats, team.minimum_seats, team.revoke_on_removal) == (0, 0, 0, False)


def test_all_time_is_from_the_year_1_to_9999() -> None:
    for written in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert text(instant(written)) == written
    for beyond in ("0001-01-01T00:00:59+00:01", "9999-12-31T23:59:00-00:01"):
        with pytest.raises(InstantError):
            instant(beyond)


def test_the_lines_of_one_instant_stand_in_the_order_of_the_law() -> None:
    """L13; what one step takes stands before what it gives."""
    order = [["expired", "voided"], ["debt_forgiven", "forfeited", "lifted"], ["moved_out"], ["moved_in"],
             ["granted", "restored"], ["adjusted"], ["lapsed"], ["debt_paid"], ["burned"], ["overage"]]  # fmt: skip
    assert [sorted(kind for kind in STEP if STEP[kind] == step) for step in sorted(set(STEP.values()))] == order


def test_what_a_pool_had_then_counts_who_drew_on_it_and_when(play: Play) -> None:
    """Ana's own credits are enough in January and not in February, bo's the other way round; the pool lives through both."""
    story = play("""
        subscription team seats ana bo cy
        recurring monthly 10 per seat of team every P1M
        grant ours 100 from 2026-01-01
        burn 4 by ana at 01-05
        burn 15 by bo at 01-06
        burn 3 by ana at 01-07
        burn 12 by ana at 02-05
        burn 8 by bo at 02-06
        burn 1 by bo at 02-07
        burn 2 by cy at 02-20
        burn 2 by cy at 02-21
        burn 9 by cy at 02-22
        burn 1 by cy at 02-23
        burn 1 by cy at 02-24
        burn 1 by cy at 02-25
        burn 1 by cy at 02-26
        burn 1 by cy at 02-27
    """)
    then = {"01-06": "100", "01-08": "95", "02-05": "95", "02-06": "93", "02-10": "93", "02-23": "90", "02-25": "88"}

    assert {at: story.balance("pool", at) for at in then} == then

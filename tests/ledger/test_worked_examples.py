"""The worked examples of the vendors' pages and of the wire, with a pencil."""

import pytest

from ledger.outcome import Folded
from tests.ledger.language import Play

# --- the wire --------------------------------------------------------------------------------------------------------


def test_a_seat_burns_its_march_credit_and_leaves_the_pool_whole(play: Play) -> None:
    """wire.md: GET /v1/customers/acme/balances."""
    story = play("""
        contract c-1 from 03-01
        subscription team seats ana
        recurring march 20 per seat of team every P1M
        grant shared 500
        burn 1.25 by ana at 03-16T09:30 id run-7f3
    """)

    assert story.left("ana", "03-17") == {"march": "18.75"}
    assert story.granted("ana", "03-17") == "20"
    assert story.overage("ana", "03-17") == "0"
    assert story.left("pool", "03-17") == {"shared": "500"}
    assert story.may_spend("ana", "518.75", "03-17")
    assert not story.may_spend("ana", "518.76", "03-17")
    assert story.entries("ana") == ["granted 20 march", "burned -1.25 march"]
    assert story.curve("ana", "03-16", "03-17") == ["20", "18.75"]
    assert story.paid("run-7f3") == ["1.25 of march"]


def test_a_removed_seat_leaves_its_place_to_somebody_else(play: Play) -> None:
    """wire.md: edit-91; the seeds: removing a seat id while maintaining total quantity."""
    story = play("""
        subscription team seats ana bo
        remove bo and unassigned +1 at 03-16
    """)

    assert story.seats("team", "03-15") == "ana bo +0"
    assert story.seats("team", "03-16") == "ana +1"
    assert story.counts("team", "03-16").total == 2


def test_what_became_of_an_edit_is_its_result(play: Play) -> None:
    story = play("""
        subscription team seats ana bo
        remove bo and unassigned +1 at 03-16 id edit-91
    """)

    outcome = story.outcomes["edit-91"]
    assert isinstance(outcome, Folded)
    result = outcome.result["team"]
    assert (result["version"], result["previous_quantity"], result["quantity"], result["assigned"]) == (1, 2, 2, 1)
    assert list(result["removed"]) == ["bo"]


# --- Metronome: the seeds and metronome.md ---------------------------------------------------------------------------


def test_a_quantity_is_set_for_a_day(play: Play) -> None:
    """The seed's first call: quantity 3 from 2025-04-29 on."""
    story = play("""
        contract c from 2025-04-01
        subscription team quantity 2
        quantity 3 at 2025-04-29
    """)

    assert story.counts("team", "2025-04-28").total == 2
    assert story.counts("team", "2025-04-29").total == 3


def test_three_seat_updates_of_one_call_each_from_its_own_day(play: Play) -> None:
    """The seed's second call: an addition, a removal before it and unassigned seats before that, said at once."""
    story = play("""
        contract c from 2025-09-01
        subscription team seats one two three
        add four at 2025-12-01 and remove two at 2025-11-15 and unassigned +2 at 2025-10-01 said 2025-09-20
    """)

    assert story.seats("team", "2025-09-30") == "one three two +0"
    assert story.seats("team", "2025-10-01") == "one three two +2"
    assert story.seats("team", "2025-11-15") == "one three +2"
    assert story.seats("team", "2025-12-01") == "four one three +1"


def test_updates_of_one_instant_apply_in_the_order_of_their_submission(play: Play) -> None:
    """metronome.md 2: set 12 then -1 on one day makes 11; a later edit at the same instant is applied after."""
    story = play("""
        subscription team quantity 10
        quantity 12 and quantity -1 at 04-01
        quantity +5 at 04-01 said 04-02
    """)

    assert story.counts("team", "03-31").total == 10
    assert story.counts("team", "04-01").total == 16


def test_an_earlier_submission_that_arrives_later_still_applies_first(play: Play) -> None:
    story = play("""
        subscription team quantity 10
        quantity 12 at 04-01 said 03-20
        quantity 7 at 04-01 said 03-19
    """)

    assert story.counts("team", "04-01").total == 12


@pytest.mark.parametrize(("whole", "earns"), [("", "50"), ("whole increases", "100")])
def test_a_seat_assigned_in_mid_period_earns_what_is_left_of_it(play: Play, whole: str, earns: str) -> None:
    """metronome.md 3.4: 100 x 15/30 = 50, without proration 100."""
    story = play(f"""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M {whole}
        add di at 06-16
    """)

    assert story.left("ana", "06-20") == {"monthly": "100"}
    assert story.left("di", "06-20") == {"monthly": earns}
    assert story.left("di", "07-01") == {"monthly": "100"}


def test_a_seat_that_fills_an_unassigned_one_earns_and_the_unassigned_one_did_not(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana +1 unassigned
        recurring monthly 100 per seat of team every P1M
        add di at 06-16
    """)

    assert story.counts("team", "06-16").total == 2
    assert story.scopes("06-15") == ["ana"]
    assert story.left("di", "06-16") == {"monthly": "50"}


def test_a_rise_of_the_quantity_releases_credit_to_the_pool_and_a_fall_takes_nothing(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team quantity 3
        recurring monthly 100 per unit of team every P1M
        quantity +2 at 06-16
        quantity -4 at 06-20
        quantity 5 at 06-25
    """)

    assert story.balance("pool", "06-01") == "300"
    assert story.balance("pool", "06-16") == "400"  # 2 x 100 x 15/30
    assert story.balance("pool", "06-26") == "400"  # five were paid for already
    assert story.balance("pool", "07-01") == "500"


def test_a_removed_seat_keeps_its_credit_until_it_expires_and_earns_no_more(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        remove ana at 06-10
        burn 30 by ana at 06-12
    """)

    assert story.left("ana", "06-30") == {"monthly": "70"}
    assert story.left("ana", "07-01") == {}
    assert story.entries("ana", "08-01") == ["granted 100 monthly", "burned -30 monthly", "expired -70 monthly"]


def test_the_ledger_of_one_segment_sums_to_nothing(play: Play) -> None:
    """metronome.md 4.2: +100 on 09-01, -63, -37 at the end."""
    story = play("""
        contract c from 09-01
        grant segment 100 until 10-01
        burn 63 at 09-20
    """)

    assert story.entries("pool", "10-02") == ["granted 100 segment", "burned -63 segment", "expired -37 segment"]
    assert story.balance("pool", "10-01") == "0"


@pytest.mark.parametrize(("proration", "first"), [("first_and_last", "50"), ("last", "100")])
def test_the_first_period_is_cut_if_the_credit_says_so(play: Play, proration: str, first: str) -> None:
    """metronome.md 3: amount x covered time / full period length; starts in the middle of June."""
    story = play(f"""
        contract c from 06-16
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M anchor 06-01 proration {proration}
    """)

    assert story.left("ana", "06-16") == {"monthly": first}
    assert story.left("ana", "07-01") == {"monthly": "100"}


def test_the_last_period_is_cut_by_an_end_said_beforehand(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 100 to pool every P1M until 07-11T08:00
    """)

    # 10 days and 8 hours of 31 days: 248 of 744 hours, a third, rounded once to nine decimals.
    assert story.left("pool", "07-05") == {"monthly": "33.333333333"}
    assert story.left("pool", "07-11T08:00") == {}


def test_an_end_said_during_the_last_period_only_closes_the_window(play: Play) -> None:
    """L10 and L12: an end cuts amounts only if it was said at or before the slice's start."""
    story = play("""
        contract c from 06-01
        recurring monthly 100 to pool every P1M
        end monthly at 07-16 said 07-02
    """)

    assert story.left("pool", "07-15") == {"monthly": "100"}
    assert story.left("pool", "07-16") == {}


def test_a_share_is_rounded_as_configured(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats
        recurring down 100 per seat of team every P1M rounded floor 0 priority 1
        recurring up 100 per seat of team every P1M rounded ceiling 0 priority 2
        recurring near 100 per seat of team every P1M rounded half_up -1 priority 3
        add di at 06-21
    """)

    assert story.left("di", "06-21") == {"down": "33", "up": "34", "near": "30"}


def test_slices_of_several_periods_live_side_by_side(play: Play) -> None:
    """duration_periods 2: the older slice, which expires first, burns first."""
    story = play("""
        contract c from 06-01
        recurring monthly 100 to pool every P1M for 2 periods
        burn 130 at 07-10
    """)

    assert story.left("pool", "07-01") == {"monthly#0": "100", "monthly#1": "100"}
    assert story.left("pool", "07-11") == {"monthly#0": "0", "monthly#1": "70"}
    assert story.left("pool", "08-01") == {"monthly#1": "70", "monthly#2": "100"}


def test_a_change_of_the_amount_counts_from_the_next_period(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 100 to pool every P1M
        change monthly amount 200 at 06-10
    """)

    assert [story.balance("pool", at) for at in ("06-30", "07-01")] == ["100", "200"]


# --- Commet and Lumen: the seeds and commet-lumen.md -----------------------------------------------------------------


def test_seats_cannot_go_below_zero(play: Play) -> None:
    """The seed: removing more than the current count will fail, and nothing changes."""
    story = play("""
        subscription editor quantity 2
        quantity -3 at 02-01 id much
        quantity -2 at 02-02 id fits
    """)

    assert story.refused() == {"much": "below_zero"}
    assert story.counts("editor", "02-01").total == 2
    assert story.counts("editor", "02-02").total == 0


def test_setting_seats_for_all_features_at_once(play: Play) -> None:
    """The seed's setAll: editor 5, viewer 20, admin 2; what is not named stays."""
    story = play("""
        subscription editor quantity 1
        subscription viewer quantity 1
        subscription admin quantity 1
        subscription guest quantity 9
        quantity 5 in editor and quantity 20 in viewer and quantity 2 in admin at 02-01
    """)

    totals = [story.counts(id, "02-01").total for id in ("editor", "viewer", "admin", "guest")]
    assert totals == [5, 20, 2, 9]


def test_one_broken_part_refuses_the_whole_edit(play: Play) -> None:
    story = play("""
        subscription editor quantity 1
        subscription viewer quantity 1
        quantity 5 in editor and quantity -2 in viewer at 02-01 id both
    """)

    assert story.refused() == {"both": "below_zero"}
    assert story.counts("editor").total == 1


def test_extra_seats_added_in_mid_period_are_due_by_the_day(play: Play) -> None:
    """commet-lumen.md A5: 1 x $25 x 15/30 = $12.50, with the next invoice; three were included."""
    story = play("""
        contract c from 06-01
        subscription editor quantity 3 included 3 price 25 increases next_period
        quantity +1 at 06-16
    """)

    assert story.counts("editor", "06-16").extra == 1
    assert story.charges("07-02") == [
        "increase 1 x 1/2 = 12.5 at 2026-07-01",
        "period 1 x 1 = 25 at 2026-07-01",
    ]


def test_removals_are_pending_until_a_rise_uses_them_up(play: Play) -> None:
    """The seed's getSeatUsage: currentUsage 5, pendingRemovals 1, 1000 cents each."""
    story = play("""
        contract c from 06-01
        subscription team seats ana bo cy di ed fay price 10
        remove fay at 06-10
        add gus at 06-20
    """)

    assert (story.counts("team", "06-10").total, story.counts("team", "06-10").pending_removals) == (5, 1)
    assert story.counts("team", "06-20").pending_removals == 0
    assert story.charges("06-30") == ["period 6 x 1 = 60 at 2026-06-01"]


def test_removing_a_seat_takes_its_credit_where_the_subscription_revokes(play: Play) -> None:
    """The seed: removal deactivates the user's credits; who returns within the period has what was left, not more."""
    story = play("""
        contract c from 06-01
        subscription team seats ana revoking
        recurring monthly 100 per seat of team every P1M
        burn 30 by ana at 06-05
        remove ana at 06-10
        add ana at 06-20
    """)

    assert story.left("ana", "06-09") == {"monthly": "70"}
    assert story.left("ana", "06-10") == {}
    assert story.left("ana", "06-20") == {"monthly": "70"}
    assert story.entries("ana", "06-21") == [
        "granted 100 monthly",
        "burned -30 monthly",
        "voided -70 monthly",
        "restored 70 monthly",
    ]


# --- the laws' own words ---------------------------------------------------------------------------------------------


def test_a_burn_takes_the_grant_that_expires_first(play: Play) -> None:
    """STYLE.md."""
    story = play("""
        grant yearly   100  until 2031-01-01
        grant monthly   20  until 2030-02-01
        burn 30
    """)

    assert story.left() == {"monthly": "0", "yearly": "90"}


def test_the_burn_order_runs_from_class_over_rank_to_the_id(play: Play) -> None:
    story = play("""
        grant b-id     1 priority 2 until 09-01 from 01-02
        grant a-id     1 priority 2 until 09-01 from 01-02
        grant younger  1 priority 2 until 09-01 from 01-02 said 01-03
        grant older    1 priority 2 until 09-01 from 01-01
        grant soon     1 priority 2 until 08-01 from 01-02
        grant never    1 priority 2             from 01-02
        grant first    1 priority 1             from 01-02
        grant rolled   1 priority 3             from 01-02 rolled over
        burn 8 at 01-05 id all
    """)

    assert [each.split()[-1] for each in story.paid("all")] == [
        "rolled", "first", "soon", "older", "a-id", "b-id", "younger", "never",
    ]  # fmt: skip


def test_a_seat_draws_from_its_own_and_both_pools_and_nobody_from_another_seat(play: Play) -> None:
    story = play("""
        grant anas  5 to seat ana priority 1
        grant bos   5 to seat bo priority 1
        grant ours  5 to pool priority 2
        grant all   5 to customer priority 3
        burn 12 by ana at 01-02 id mine
        burn 5 at 01-03 id nobodys
    """)

    assert story.paid("mine") == ["5 of anas", "5 of ours", "2 of all"]
    assert story.paid("nobodys") == ["3 of all", "2 over"]
    assert story.left("bo") == {"bos": "5"}


def test_a_late_burn_draws_from_what_was_there_then(play: Play) -> None:
    """L3: arrival decides nothing."""
    story = play("""
        grant old 10 until 02-01
        grant new 10 from 02-01
        burn 3 at 02-10
        burn 4 at 01-20
    """)

    assert story.left("pool", "01-21") == {"old": "6"}
    assert story.left("pool", "02-11") == {"new": "7"}
    assert "expired -6 old" in story.entries("pool")


def test_a_late_burn_displaces_the_last_taker_of_a_pool_that_ran_dry(play: Play) -> None:
    story = play("""
        grant shared 10
        grant bos 10 to seat bo priority 200
        burn 6 by ana at 01-10 id first
        burn 6 by bo at 01-12 id last
        burn 2 by ana at 01-11 id late
    """)

    assert sorted(story.paid("last")) == ["2 of bos", "4 of shared"]
    assert story.paid("late") == ["2 of shared"]
    assert story.left("bo") == {"bos": "6"}
    assert story.left() == {"shared": "0"}


def test_a_carried_debt_is_paid_by_what_comes_next_and_charged_overage_is_not(play: Play) -> None:
    for policy, left, over in (("carry", "6", "0"), ("charge", "10", "4")):
        story = play(f"""
            contract c {policy} from 01-01
            burn 4 by ana at 01-02
            grant topup 10 to seat ana from 01-05
        """)
        assert story.overage("ana", "01-04") == "4"
        assert story.left("ana", "01-05") == {"topup": left}
        assert story.overage("ana", "01-05") == over


def test_the_pools_debt_is_paid_before_the_seats_and_theirs_by_id(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 4 by bo at 01-02
        burn 4 by ana at 01-03
        burn 4 at 01-04
        grant topup 9 to pool from 01-05
    """)

    assert story.left("pool", "01-05") == {"topup": "0"}
    assert [story.overage(who, "01-05") for who in ("pool", "ana", "bo")] == ["0", "0", "3"]


def test_a_reset_keeps_what_the_rollover_lets_it(play: Play) -> None:
    story = play("""
        grant some   10 rollover max 3
        grant least   1 rollover min 2
        grant rest   10 rollover
        grant none   10
        burn 1 at 01-10
        reset at 02-01
    """)

    assert story.left("pool", "02-01") == {"least": "2", "none": "0", "rest": "10", "some": "3"}
    assert story.granted("pool", "02-01") == "15"


def test_a_seat_that_leaves_at_a_period_start_earns_nothing_and_one_that_comes_earns_once(play: Play) -> None:
    """L13."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        remove ana and add bo at 07-01
    """)

    assert story.left("ana", "07-01") == {}
    assert story.left("bo", "07-01") == {"monthly": "100"}
    assert story.entries("bo", "07-31") == ["granted 100 monthly"]


def test_a_seat_that_moves_carries_what_is_left_and_its_heir_earns_nothing_of_its_own(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        burn 30 by ana at 06-05
        move ana to di carrying at 06-16
        burn 10 by ana at 06-06
    """)

    assert story.seats("team", "06-16") == "di +0"
    assert story.left("ana", "06-16") == {}
    assert story.left("di", "06-16") == {"monthly": "60"}  # the late burn came off it
    assert story.entries("di", "06-17") == ["moved_in 60 monthly"]


def test_a_seat_that_moves_without_its_balance_leaves_it_and_the_new_one_earns(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        move ana to di at 06-16
    """)

    assert story.left("ana", "06-16") == {"monthly": "100"}
    assert story.left("di", "06-16") == {"monthly": "50"}


def test_an_open_debt_moves_with_the_seat(play: Play) -> None:
    story = play("""
        contract c carry from 06-01
        subscription team seats ana
        burn 4 by ana at 06-05
        move ana to di carrying at 06-16
        grant topup 10 to seat di from 06-20
    """)

    assert story.overage("ana", "06-16") == "0"
    assert story.overage("di", "06-16") == "4"
    assert story.left("di", "06-20") == {"topup": "6"}


def test_a_move_needs_one_who_sits_and_one_who_does_not(play: Play) -> None:
    story = play("""
        subscription team seats ana bo
        move cy to di at 01-05 id nobody
        move ana to bo at 01-05 id taken
    """)

    assert story.refused() == {"nobody": "not_assigned", "taken": "already_assigned"}


def test_a_contracts_window_cuts_its_grants_and_never_the_customers_pool(play: Play) -> None:
    """L12, L6."""
    story = play("""
        contract c from 01-01 until 02-01
        grant ours 10 priority 1
        grant all 10 to customer
        burn 3 at 02-01 id outside
        burn 12 at 01-31 id inside
    """)

    assert story.paid("outside") == ["3 over"]
    assert story.paid("inside") == ["10 of ours", "2 of all"]
    assert story.left("pool", "02-01") == {}
    assert story.left("customer") == {"all": "8"}


def test_a_negative_adjustment_takes_at_most_what_is_left(play: Play) -> None:
    story = play("""
        grant ours 10 until 02-01
        adjust ours by 2 at 01-02
        adjust ours by -30 at 01-03
        adjust ours by 5 at 02-01
    """)

    assert story.entries() == [
        "granted 10 ours",
        "adjusted 2 ours",
        "adjusted -12 ours",
        "lapsed -18 ours",
        "lapsed 5 ours",
    ]


def test_a_burn_that_is_voided_never_was_and_its_id_stays_taken(play: Play) -> None:
    story = play("""
        grant ours 10
        burn 4 at 01-02 id b
        take back b at 01-03
        again b
    """)

    assert story.left() == {"ours": "10"}
    assert story.entries() == ["granted 10 ours"]
    assert len(story.repeats) == 1


def test_facts_wait_for_what_they_name_and_are_folded_with_it(play: Play) -> None:
    """L19: the seat change came before the contract that it edits."""
    story = play("""
        burn 3 by ana at 01-05 id early
        contract c from 01-01 said 01-05
        subscription team seats ana said 01-05
        grant ours 10 from 01-01 said 01-05
    """)

    assert story.refused() == {} and story.waiting() == []
    assert story.paid("early") == ["3 over"]  # as it was when it was folded
    assert story.left() == {"ours": "7"}


def test_a_burn_that_waits_in_vain_is_overage_of_the_contract_that_ended_last(play: Play) -> None:
    story = play("""
        contract c from 01-01 until 02-01
        burn 3 by ana anywhere at 02-05 id stray
        tick 02-06
    """)

    assert story.paid("stray") == ["3 over"]
    assert story.overage("ana") == "3"


def test_a_stale_edit_is_refused(play: Play) -> None:
    story = play("""
        subscription team seats ana
        add bo at 01-05 version 0 id fresh
        add cy at 01-06 version 0 id stale
    """)

    assert story.refused() == {"stale": "version_stale"}
    assert story.counts().version == 1

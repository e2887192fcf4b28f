"""Which slice a void or an adjustment means that names none, also where seats hand on what they have (D17, D18, D20)."""

import pytest

from tests.ledger.language import Play

# --- of what a seat earned itself ------------------------------------------------------------------------------------


def test_a_void_before_a_seats_first_slice_ends_nothing(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats bo
        recurring monthly 30 per seat of team every P1M for 3 periods
        add ana at 06-16
        void monthly seat ana at 06-05
    """)

    assert story.left("ana") == {"monthly": "15"}


def test_who_left_when_a_period_began_has_no_slice_of_it(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 3 periods
        remove ana at 07-01
        adjust monthly by -3 seat ana at 07-05
    """)

    assert story.left("ana") == {"monthly": "7"}


def test_an_adjustment_of_the_pools_slice_that_names_a_seat_lapses_there(play: Play) -> None:
    story = play("""
        contract c from 06-01
        recurring monthly 10 to pool every P1M
        adjust monthly by -2 seat ana at 06-04
    """)

    assert story.entries() == ["granted 10 monthly", "lapsed -2 monthly of ana"]


def test_a_void_takes_another_slice_back_from_the_very_instant_at_which_a_seat_turns_out_to_have_returned(
    play: Play,
) -> None:
    """So an earlier void of the slice that it had meant counts again."""
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring weekly 100 per seat of team every P1W for 5 periods
        void weekly slice 0 seat ana at 06-03
        burn 10 by ana at 06-04
        remove ana at 06-05
        void weekly seat ana at 06-20
        set ana bo at 06-20 said 06-22
    """)

    assert story.overage("ana") == "10"


# --- of what carried moves brought -----------------------------------------------------------------------------------


def test_an_adjustment_means_what_was_carried_at_its_instant(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M
        move ana to di carrying at 06-10
        adjust monthly by -3 seat di at 06-10
    """)

    assert story.left("di") == {"monthly": "7"}


def test_what_was_carried_here_started_later_than_what_a_seat_had_left(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats di
        recurring monthly 10 per seat of team every P1M for 2 periods
        remove di at 06-20
        add ana at 07-01
        move ana to di carrying at 07-10
        adjust monthly by -3 seat di at 07-12
    """)

    assert story.left("di") == {"monthly#0": "10", "monthly#1": "7"}


def test_a_void_at_the_instant_of_a_carried_move_means_what_the_seat_had_before(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats di
        recurring monthly 10 per seat of team every P1M for 2 periods
        void monthly slice 0 seat di at 06-05
        burn 3 by di at 06-10
        remove di at 06-20
        add ana at 07-01
        move ana to di carrying at 07-10
        void monthly seat di at 07-10
        burn 4 by di at 07-11
    """)

    assert story.entries("di") == [
        "granted 10 monthly",
        "burned -3 monthly",
        "voided -7 monthly",
        "moved_in 10 monthly",
        "burned -4 monthly",
    ]


def test_who_was_handed_this_periods_slice_had_a_slice_of_long_ago_before(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo cy di
        recurring monthly 10 per seat of team every P1M for 5 periods
        remove ana cy at 06-20
        move bo to ana carrying at 07-05
        void monthly seat ana at 07-05
        move di to cy carrying at 09-05
        void monthly seat cy at 09-05
    """)

    assert story.entries("ana", "07-06") == ["granted 10 monthly", "voided -10 monthly", *2 * ["moved_in 10 monthly"]]
    assert story.entries("cy", "09-06") == ["granted 10 monthly", "voided -10 monthly", *4 * ["moved_in 10 monthly"]]


def test_an_older_slice_that_is_carried_here_did_not_start_last(play: Play) -> None:
    """It comes by another subscription: ana has no seat of the team any more."""
    story = play("""
        contract c from 06-01
        subscription crew seats ana
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 3 periods
        remove ana in team at 06-20
        add di in team at 07-01
        remove di in team at 07-20
        move ana to di carrying in crew at 08-10
        adjust monthly by -3 seat di at 08-12
    """)

    assert story.left("di") == {"monthly#0": "10", "monthly#1": "7"}


def test_what_ends_when_a_seat_hands_on_does_not_come_along(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription crew seats ana
        subscription team seats di
        recurring monthly 10 per seat of team every P1M for 3 periods
        change monthly duration_periods 1 at 06-15
        remove di in team at 06-20
        add ana in team at 07-01
        remove ana in team at 07-20
        move ana to di carrying in crew at 08-01
        adjust monthly by -3 seat di at 08-02
    """)

    assert story.left("di") == {"monthly": "7"}


def test_a_slice_that_lives_longer_than_the_next_one_is_handed_on_after_that_is_over(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription crew seats ana
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M for 3 periods
        change monthly duration_periods 1 at 06-15
        remove ana in team at 07-20
        move ana to di carrying in crew at 08-10
        adjust monthly by -3 seat di at 08-12
    """)

    assert story.left("di") == {"monthly": "7"}


def test_a_move_that_carries_nothing_hands_on_nothing(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription crew seats ana
        subscription team seats di
        recurring monthly 10 per seat of team every P1M for 3 periods
        remove di in team at 06-20
        add ana in team at 07-01
        move ana to di in crew at 07-10
        adjust monthly by -3 seat di at 07-12
    """)

    assert story.left("di") == {"monthly": "7"}


# --- of a slice that a seat has twice, its own and a carried one -----------------------------------------------------


def test_the_own_slice_that_a_return_gives_back_is_adjusted_at_that_instant(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats di revoking
        recurring monthly 30 per seat of team every P1M
        add ana at 06-06
        remove di at 06-10
        move ana to di carrying at 06-20
        adjust monthly by -5 seat di at 06-20
        burn 26 by di at 06-21 id b
    """)

    assert story.paid("b") == ["25 of monthly", "1 of monthly"]


def test_the_own_slice_that_a_removal_takes_is_not_adjusted_at_that_instant(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription crew seats ana
        subscription team seats di ana revoking
        recurring monthly 30 per seat of team every P1M
        remove di in team and move ana to di carrying in crew at 06-20
        adjust monthly by -5 seat di at 06-20
    """)

    assert story.left("di") == {"monthly": "25"}


# --- who earns a slice of its own ------------------------------------------------------------------------------------


def test_who_was_handed_nothing_yet_earns_a_slice_though_a_moment_later_it_is_handed_one(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 30 per seat of team every P1M
        add bo at 06-16
        remove bo and move ana to bo carrying at 06-16T00:00:00.000001
    """)

    assert story.entries("bo") == ["granted 15 monthly", "moved_in 30 monthly"]


def test_who_comes_and_hands_on_at_one_instant_had_nothing_to_hand_on(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats bo
        recurring monthly 30 per seat of team every P1M
        add ana and move ana to di carrying and set ana bo di at 06-16
    """)

    assert (story.left("ana"), story.left("di")) == ({"monthly": "15"}, {"monthly": "15"})


# --- whose place a later void takes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["", "slice 0"])
@pytest.mark.parametrize("earlier", ["", "slice 0"])
def test_a_later_void_of_all_seats_gives_back_what_an_earlier_one_had_ended(
    play: Play, earlier: str, later: str
) -> None:
    story = play(f"""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        void monthly {earlier} at 06-05
        burn 10 by ana at 06-07
        void monthly {later} at 06-10
    """)

    assert story.entries("ana") == ["granted 100 monthly", "burned -10 monthly", "voided -90 monthly"]


@pytest.mark.parametrize("later", ["", "seat ana"])
@pytest.mark.parametrize("earlier", ["", "seat ana"])
def test_a_later_void_of_a_grant_gives_back_what_an_earlier_one_had_ended(play: Play, earlier: str, later: str) -> None:
    story = play(f"""
        contract c from 06-01
        grant ours 100 to seat ana
        void ours {earlier} at 06-05
        burn 10 by ana at 06-07
        void ours {later} at 06-10
    """)

    assert story.entries("ana") == ["granted 100 ours", "burned -10 ours", "voided -90 ours"]


def test_a_late_return_changes_what_a_void_means_from_before_it_also_where_the_pool_earns_by_it(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring own 10 per seat of team every P1W for 3 periods
        recurring units 1 per unit of team every P1M
        burn 5 by ana at 06-02
        void own slice 0 seat ana at 06-03
        burn 8 by ana at 06-04
        remove ana at 06-05
        void own seat ana at 06-18
        set ana bo at 06-16 said 06-20
    """)

    assert story.overage("ana") == "6"

"""Bugs that users of other engines lived through, each by what they saw (spec/ledger.md; research/peers.md 2.2 and 8).

The number behind a docstring is the other engine's issue.
"""

import pytest

from ledger.outcome import Folded
from tests.ledger.language import Play, play_on

# --- OpenMeter -------------------------------------------------------------------------------------------------------


def test_a_grant_that_starts_exactly_at_a_reset_is_whole(play: Play) -> None:
    """OpenMeter #1071."""
    story = play("""
        grant old 10
        grant new 10 from 02-01
        reset at 02-01
        burn 3 at 02-01
    """)

    assert story.left("pool", "02-01") == {"new": "10", "old": "0"}
    assert story.left("pool") == {"new": "7", "old": "0"}


def test_a_grant_that_expires_exactly_at_a_reset_is_not_rolled_over(play: Play) -> None:
    """OpenMeter #1127."""
    story = play("""
        grant old 10 until 02-01 rollover
        reset at 02-01
    """)

    assert story.left("pool", "02-01") == {}
    assert story.entries() == ["granted 10 old", "expired -10 old"]


def test_a_recurrence_at_a_reset_counts_once(play: Play) -> None:
    """OpenMeter #1408: counted twice; #4278: missing at the start of the period."""
    story = play("""
        grant daily 10 every P1D
        burn 4 at 01-01T12:00
        reset at 01-02
    """)

    assert story.left("pool", "01-02") == {"daily": "10"}
    assert story.entries("pool", "01-02") == [
        "granted 10 daily",
        "burned -4 daily",
        "forfeited -6 daily",
        "lifted 10 daily",
    ]


@pytest.mark.parametrize("other", ["grant other 1 from 01-15", "grant other 1 from 01-15 until 01-16"])
def test_a_recurrence_is_not_applied_again_when_another_grant_starts_or_ends(play: Play, other: str) -> None:
    """OpenMeter #4252."""
    story = play(f"""
        grant monthly 10 every P1M priority 1
        {other}
        burn 4 at 01-10
    """)

    assert story.left("pool", "01-20")["monthly"] == "6"


def test_a_grant_that_recurs_and_expires_at_one_instant_expires(play: Play) -> None:
    story = play("""
        grant daily 10 every P1D until 01-03
        burn 4 at 01-01T12:00
        burn 1 at 01-02T12:00
    """)

    assert story.left("pool", "01-02") == {"daily": "10"}
    assert story.left("pool", "01-03") == {}
    assert story.entries("pool", "01-05")[-1] == "expired -9 daily"


def test_a_slice_that_ends_where_the_next_one_starts_leaves_one(play: Play) -> None:
    story = play("recurring daily 10 to pool every P1D")

    assert story.left("pool", "01-02") == {"daily": "10"}
    assert story.entries("pool", "01-02") == ["granted 10 daily", "expired -10 daily", "granted 10 daily"]


def test_a_voided_grant_pays_no_more(play: Play) -> None:
    """OpenMeter #1180."""
    story = play("""
        grant gone 10 priority 1
        grant here 10 priority 2
        burn 2 at 01-02
        void gone at 01-03
        burn 3 at 01-03 id after
        burn 1 at 01-02T12:00 id before
    """)

    assert story.paid("after") == ["3 of here"]
    assert story.paid("before") == ["1 of gone"]
    assert story.left() == {"here": "7"}
    assert "voided -7 gone" in story.entries()


def test_a_grant_voided_before_it_starts_never_was(play: Play) -> None:
    """L2."""
    story = play("""
        grant gone 10 from 02-01
        void gone at 02-01 said 01-05
        burn 3 at 02-02
    """)

    assert story.left() == {}
    assert story.overage() == "3"
    assert story.entries() == ["overage 3"]


def test_no_grant_is_forgotten_however_many_there_are_and_whatever_came_between(play: Play) -> None:
    """OpenMeter #1184: a snapshot forgot active grants."""
    grants = "\n".join(f"grant g{n:02} 1 from 01-{n:02}" for n in range(1, 21))
    burns = "\n".join(f"burn 0.5 at 01-{n:02}T12:00" for n in range(1, 21))
    story = play(grants + "\n" + burns)

    assert len(story.left()) == 20
    assert story.balance() == "10"


def test_the_history_says_what_the_balance_says_at_every_point(play: Play) -> None:
    """OpenMeter #2160, #2368, #2373."""
    story = play("""
        grant monthly 10 every P1M rollover max 2
        recurring weekly 3 to pool every P1W
        burn 4 at 01-05
        reset at 01-12
        burn 7 at 01-20
        burn 1 at 01-11
    """)
    days = ("01-01", "01-05", "01-06", "01-11", "01-12", "01-15", "01-20", "01-21", "02-01")

    assert story.curve("pool", *days) == [story.balance("pool", day) for day in days]


def test_months_from_the_31st_do_not_drift(play: Play) -> None:
    """OpenMeter #3831."""
    story = play("""
        contract c from 2026-01-31
        recurring monthly 10 to pool every P1M
    """)

    due = ["2026-01-31"]
    for _ in range(4):
        due.append(story.due(due[-1]) or "")
    assert due[1:] == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]
    assert story.granted("pool", "03-30") == "10"


def test_years_from_a_leap_day_come_back_to_it(play: Play) -> None:
    story = play("""
        contract c from 2024-02-29
        grant yearly 10 every P1Y
        burn 1 at 2024-03-01
        burn 1 at 2025-03-01
        burn 1 at 2028-02-28
    """)

    assert story.balance("pool", "2025-02-27") == "9"
    assert story.balance("pool", "2025-02-28") == "10"
    assert story.balance("pool", "2028-02-28T23:00") == "9"
    assert story.balance("pool", "2028-02-29") == "10"


def test_percentages_have_the_total_that_was_really_given(play: Play) -> None:
    """OpenMeter #3745, #4304: computed against the wrong total."""
    story = play("""
        grant ours 10 rollover max 4
        adjust ours by 5 at 01-02
        burn 5 at 01-03
        reset at 01-04
        burn 1 at 01-05
    """)

    assert [(story.balance("pool", at), story.granted("pool", at)) for at in ("01-01", "01-02", "01-04", "01-06")] == [
        ("10", "10"), ("15", "15"), ("4", "4"), ("3", "4"),
    ]  # fmt: skip


def test_two_resets_for_one_instant_are_one_after_the_other(play: Play) -> None:
    """OpenMeter #4511."""
    story = play("""
        grant ours 10 rollover max 4
        reset at 01-04 id r1
        reset at 01-04 id r2
        again r1
    """)

    assert story.left("pool", "01-04") == {"ours": "4"}
    assert story.entries() == ["granted 10 ours", "forfeited -6 ours"]


@pytest.mark.parametrize("amount", ["4", "10"])
def test_what_is_used_up_is_exactly_zero_and_still_there(play: Play, amount: str) -> None:
    """OpenMeter #4157, #3364: silent at exactly zero. The value that a rule compares is there to be compared."""
    story = play(f"""
        grant ours {amount}
        burn {amount} at 01-02
    """)

    assert story.left() == {"ours": "0"}
    assert (story.balance(), story.granted(), story.overage()) == ("0", amount, "0")


def test_an_event_whose_fact_was_refused_for_what_was_missing_may_come_again(play: Play) -> None:
    """OpenMeter #5118: an id was claimed before the write succeeded; the event counted zero times."""
    story = play("""
        contract c from 01-01
        burn 3 at 01-05 id b on d
        tick 01-05T02:00
        contract d from 01-01 said 01-05T03:00
        again b
    """)

    assert isinstance(story.outcomes["b"], Folded)
    assert story.overage() == "3"


def test_a_topup_between_two_falls_shows_in_the_account(play: Play) -> None:
    """Balance 9, a top-up, balance 9 again: what arms an alert anew is an entry of its own."""
    story = play("""
        grant ours 10
        burn 1 at 01-02
        grant topup 5 from 01-03
        burn 5 at 01-04
    """)

    assert [story.balance("pool", at) for at in ("01-02T01:00", "01-03", "01-05")] == ["9", "14", "9"]
    assert story.entries() == ["granted 10 ours", "burned -1 ours", "granted 5 topup", "burned -5 ours"]


# --- users of vendor seat credits ------------------------------------------------------------------------------------


def test_a_retried_delta_adds_no_phantom_seats(play: Play) -> None:
    """dust #31420: 481 edits made 548 phantoms."""
    story = play("""
        subscription team quantity 1
        quantity +1 at 01-05 id delta
    """)
    for _ in range(5):
        play_on(story, "again delta")

    assert story.counts().total == 2
    assert [repeat.differs for repeat in story.repeats] == [False] * 5
    assert story.counts().version == 1


def test_a_retried_addition_of_a_seat_is_no_second_seat(play: Play) -> None:
    """dust #31422: under a new id even, who sits already does nothing."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        add bo at 06-05
        add bo at 06-06
    """)

    assert story.seats() == "ana bo +0"
    assert story.entries("bo") == ["granted 86.666666667 monthly"]


def test_the_absolute_count_makes_racing_edits_come_out_right(play: Play) -> None:
    """dust #24053."""
    story = play("""
        subscription team seats ana bo +2 unassigned
        add cy at 01-05
        set ana cy di at 01-06
        set ana cy di at 01-06 id late
    """)

    assert story.seats() == "ana cy di +0"


def test_every_seat_is_in_the_list(play: Play) -> None:
    """dust #28965: 536 of about 910 seats."""
    names = [f"seat-{n:03}" for n in range(300)]
    story = play(f"""
        subscription team seats
        recurring monthly 1 per seat of team every P1M
        add {" ".join(names)} at 01-01
    """)

    assert story.scopes("01-02") == names
    assert story.seats().split()[:-1] == names


def test_a_seat_that_is_not_known_spoils_no_batch(play: Play) -> None:
    """dust #28953: one bad id refused the batch."""
    story = play("""
        subscription team seats ana bo
        remove nobody bo at 01-05
    """)

    assert story.refused() == {}
    assert story.seats() == "ana +0"


def test_a_switch_of_plan_does_not_stack_two_allowances(play: Play) -> None:
    """dust #27294: 8,000 and 40,000 made 48,000."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring small 8000 per seat of team every P1M
        end small at 06-16
        recurring large 40000 per seat of team every P1M anchor 06-01 from 06-16
    """)

    assert story.left("ana", "06-15") == {"small": "8000"}
    assert story.left("ana", "06-16") == {"large": "20000"}
    assert story.left("ana", "07-01") == {"large": "40000"}


def test_a_grant_of_the_next_period_is_not_out_before_its_time(play: Play) -> None:
    """dust #31056: the next period's grant was already out and stayed for a seat that had left."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        remove ana at 06-20
    """)

    assert story.left("ana", "07-01") == {}
    assert story.granted("ana", "08-01") == "0"


def test_a_low_seat_is_seen_though_the_pool_is_full(play: Play) -> None:
    """dust #26019: surplus pool credit hid a low seat."""
    story = play("""
        grant anas 1 to seat ana
        grant ours 1000 to pool
        burn 1 by ana at 01-02
    """)

    assert (story.balance("ana"), story.balance("pool")) == ("0", "1000")


def test_a_grant_redelivered_grants_nothing_more(play: Play) -> None:
    """proliferate #1589: a redelivered invoice granted a whole seat-month more; a new id for the same grant is refused."""
    story = play("""
        grant march 100 id invoice-1
        again invoice-1
        again invoice-1
        grant march 100 id invoice-2
    """)

    assert story.balance() == "100"
    assert story.refused() == {"invoice-2": "already_exists"}


def test_a_seat_added_in_mid_period_gets_its_credits_at_once(play: Play) -> None:
    """proliferate #1591: none until renewal."""
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        add di at 06-30T23:59:59
    """)

    assert story.balance("di", "06-30T23:59:59") == "0.00003858"  # 100 x 1 s / 30 days


def test_three_seats_get_three_seats_credits(play: Play) -> None:
    """kortix #4041: one seat's credits for three seats."""
    story = play("""
        subscription team quantity 3
        recurring monthly 100 per unit of team every P1M
    """)

    assert story.balance("pool", "01-01") == "300"


def test_credit_that_was_given_back_expires_as_it_would_have(play: Play) -> None:
    """kortix #5869: refunds turned expiring credit into lasting credit."""
    story = play("""
        grant short 10 until 02-01
        burn 4 at 01-10 id b
        take back b at 02-05
    """)

    assert story.left("pool", "01-20") == {"short": "10"}
    assert story.left("pool", "02-01") == {}
    assert story.entries() == ["granted 10 short", "expired -10 short"]


def test_spending_beyond_zero_goes_on_in_the_account(play: Play) -> None:
    """kortix #7080: at zero the debit failed and the ledger stood still."""
    story = play("""
        grant ours 150
        burn 140 at 01-02
        burn 20 at 01-03 id over
        burn 428 at 01-04
    """)

    assert story.paid("over") == ["10 of ours", "10 over"]
    assert (story.balance(), story.overage()) == ("0", "438")


def test_usage_that_comes_late_is_taken_from_its_own_period_and_not_rolled_over(play: Play) -> None:
    """twenty #23973: an outage read as zero usage, and everyone's allowance would have rolled over whole."""
    story = play("""
        grant ours 100 rollover
        reset at 02-01
        burn 90 at 01-20
    """)

    assert story.left("pool", "02-01") == {"ours": "10"}


def test_a_topup_does_not_pay_charged_overage(play: Play) -> None:
    story = play("""
        burn 5 by ana at 01-02
        grant topup 3 to seat ana from 01-03
        burn 1 by ana at 01-04
    """)

    assert (story.left("ana"), story.overage("ana")) == ({"topup": "2"}, "5")


def test_where_debts_are_carried_a_topup_pays_them_once(play: Play) -> None:
    story = play("""
        contract c carry from 01-01
        burn 5 by ana at 01-02
        grant topup 3 to seat ana from 01-03
        grant more 10 to seat ana from 01-04
    """)

    assert [(story.balance("ana", at), story.overage("ana", at)) for at in ("01-02T01:00", "01-03", "01-04")] == [
        ("0", "5"), ("0", "2"), ("8", "0"),
    ]  # fmt: skip


def test_grants_alike_in_everything_burn_by_their_ids_in_every_replay(play: Play) -> None:
    for order in (("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")):
        lines = "\n".join(f"grant {id} 1" for id in order)
        story = play(f"""
            contract c from 01-01
            {lines}
            burn 2 at 01-02
        """)
        assert story.left() == {"a": "0", "b": "0", "c": "1"}


def test_burns_of_one_instant_draw_by_their_ids_whatever_came_first(play: Play) -> None:
    for order in ("a", "b"), ("b", "a"):
        by = {"a": "ana", "b": "bo"}
        lines = "\n".join(f"burn 8 by {by[id]} at 01-02 id {id}" for id in order)
        story = play(f"""
            contract c from 01-01
            grant ours 10
            {lines}
        """)
        assert (story.overage("ana"), story.overage("bo")) == ("0", "6")


def test_a_balance_never_goes_below_zero_whatever_is_taken(play: Play) -> None:
    """OpenMeter #3870: a negative value gave a 500."""
    story = play("""
        grant ours 10
        burn 4 at 01-02
        adjust ours by -10 at 01-03
        burn 1 at 01-02T12:00
        burn 1 at 01-04
    """)

    assert [story.balance("pool", at) for at in ("01-02T01:00", "01-02T13:00", "01-03", "01-05")] == [
        "6",
        "5",
        "0",
        "0",
    ]
    assert story.overage() == "1"
    assert "lapsed -5 ours" in story.entries()


def test_a_cached_balance_does_not_drift_from_its_entries(play: Play) -> None:
    """alga-psa #3037: with many writers; the cure was to derive it from the ledger."""
    lines = "\n".join(
        f"burn 0.{n:02} by {'ana' if n % 2 else 'bo'} at 01-{1 + n * 7 % 28:02}T{n % 24:02}:00" for n in range(1, 80)
    )
    story = play(f"""
        contract c from 01-01
        grant ours 7 every P1W
        grant anas 3 to seat ana every P1D
        {lines}
    """)

    for who in ("pool", "ana"):
        given = sum(float(line.split()[1]) for line in story.entries(who) if not line.startswith("overage"))
        assert f"{given:.6f}" == f"{float(story.balance(who)):.6f}"

"""What a late fact changes later: which burns are played again, who is followed, and who is named for it. By pencil."""

import pytest

from tests.ledger.language import Play
from tests.ledger.test_changed import last, reached


def test_whom_a_late_burn_displaces_owes_it_in_later_stretches_too(play: Play) -> None:
    story = play("""
        grant ours 10 from 01-01
        grant more 5 from 02-01
        burn 10 by bo at 01-10
        burn 1 by bo at 02-10
        burn 4 by ana at 01-05
    """)
    assert story.overage("bo", "01-20") == "4"
    assert story.overage("bo") == "4"


def test_a_late_debt_is_paid_at_the_first_boundary_that_nobody_had_looked_at(play: Play) -> None:
    """From January on nothing was burned until April: what ana owes late is paid by February's slice, not by April's."""
    story = play("""
        contract c carry from 2026-01-01
        recurring monthly 10 to pool every P1M
        burn 1 by bo at 01-05
        burn 1 by bo at 04-10
        burn 15 by ana at 01-06
    """)
    assert story.left("pool", "02-10") == {"monthly": "4"}
    assert story.left("pool", "04-11") == {"monthly": "9"}


def test_a_late_burn_before_a_move_changes_what_the_heir_has_however_much_lies_between(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant gift 100 to seat ana from 01-01
        grant ours 1 from 02-01
        grant more 1 from 03-01
        burn 1 by cy at 02-05
        move ana to bo carrying at 03-10
        burn 5 by bo at 03-10
        burn 10 by ana at 01-05
    """)
    assert story.left("bo") == {"gift": "85"}


def test_a_grant_to_who_gave_all_away_reaches_the_heir_after_a_burn_that_changed_nothing_of_it(play: Play) -> None:
    story = play("""
        subscription team seats cy
        grant ours 100 priority 1 from 01-01
        grant gift 10 to seat cy from 01-01
        grant more 1 from 02-01
        grant own 5 to seat ana from 02-10
        move cy to ana carrying at 01-10
        burn 1 by ana at 02-05
        burn 1 by ana at 02-15
        burn 1 by ana at 02-06
        grant extra 7 to seat cy from 01-05
    """)
    assert story.left("ana") == {"gift": "10", "extra": "7", "own": "5"}


def test_a_grant_behind_all_burns_names_who_owes() -> None:
    story = """
        contract c carry from 2026-01-01
        burn 5 by bo at 01-02
        grant ours 10 from 02-01
    """
    assert last(story) == ["pool 02-01", "bo 02-01"]


def test_a_pool_is_named_where_it_pays_less_or_more_of_a_debt() -> None:
    """Bo's debt is gone with the gift, and is there again where the gift is voided: February's grant pays it, or keeps it."""
    story = """
        contract c carry from 2026-01-01
        grant ours 10 from 02-01
        burn 5 by bo at 01-02
        burn 1 by cy at 02-05
        grant gift 10 to seat bo from 01-01
    """
    assert reached(story, "pool 02-01", "bo 01-01")
    assert reached(story + "void gift at 01-01", "pool 02-01", "bo 01-01")


def test_who_pays_a_debt_himself_leaves_more_of_the_next_grant_for_the_other_debtors() -> None:
    story = """
        contract c carry from 2026-01-01
        grant ours 4 from 02-01
        grant dis 10 to seat di from 01-01
        burn 5 by cy at 01-02
        burn 5 by dy at 01-03
        burn 1 by di at 01-20
        grant gift 3 to seat cy from 01-15
    """
    assert reached(story, "cy 01-15", "dy 02-01")


def test_who_is_played_again_is_named_from_where_something_changed() -> None:
    story = """
        subscription team seats ana bo cy
        burn 1 by ana at 01-03
        burn 1 by bo at 01-05
    """
    assert last(story + "grant ours 10 from 01-04") == ["pool 01-04", "bo 01-05"]
    story = """
        subscription team seats ana cy
        recurring monthly 10 per seat of team every P1M from 01-18
        grant ours 10 from 01-01
        burn 1 by cy at 01-02
        burn 1 by ana at 01-20
    """
    assert last(story + "end monthly at 01-18") == ["pool 01-20", "ana 01-18", "every seat of team 01-18"]


def test_a_debt_that_an_earlier_grant_pays_now_is_named_from_there() -> None:
    story = """
        contract c carry from 2026-01-01
        grant ours 10 from 03-01
        burn 5 by bo at 01-02
        burn 1 by cy at 03-05
        grant more 10 from 02-01
    """
    assert reached(story, "pool 02-01", "bo 02-01")


def test_pools_are_named_from_where_they_pay_a_debt() -> None:
    """A late debt, from the first boundary on that nobody had looked at; and all that a debt that ends would have taken."""
    story = """
        contract c carry from 2026-01-01
        grant all 5 to customer every P1M from 02-03
        burn 12 by bo at 03-13
        burn 1 by bo at 01-24
    """
    assert last(story) == ["customer 02-03", "pool 02-03", "bo 01-24"]
    story = """
        contract c carry from 2026-01-01
        grant all 5 to customer from 02-06
        burn 2 at 03-16
        end contract at 01-18
    """
    assert last(story) == ["customer 01-18", "pool 01-18", "every seat of c 01-18"]
    story = """
        contract c carry from 2026-01-01
        grant ours 10 from 01-30
        burn 12 by ana at 03-07
        grant all 20 to customer from 01-24
    """
    assert last(story) == ["customer 01-24", "pool 01-24", "ana 01-30"]


def test_a_pool_that_burned_is_named_from_its_burn_on() -> None:
    assert last("burn 1 at 03-15 \n grant all 3 to customer from 01-01") == ["customer 01-01", "pool 03-15"]


def test_what_a_late_grant_cuts_in_two_is_taken_out_of_the_first_half(play: Play) -> None:
    story = play("""
        grant ours 10 from 01-01
        grant gift 5 to seat ana from 01-18 priority 200
        burn 3 by ana at 01-20
        grant more 10 from 01-15
    """)
    assert story.left() == {"ours": "7", "more": "10"}


def test_where_a_grant_never_was_nothing_is_left_of_its_boundary(play: Play) -> None:
    story = play("""
        grant first 10 to seat ana from 01-01
        grant second 10 to seat ana from 01-10 priority 1
        grant third 10 to seat ana from 01-20
        burn 1 by ana at 01-05
        burn 1 by ana at 01-12
        burn 1 by ana at 01-22
        void second at 01-10
    """)
    assert story.left("ana", "01-15") == {"first": "8"}
    assert story.left("ana") == {"first": "7", "third": "10"}


def test_a_grant_between_two_burns_pays_the_second_also_where_a_move_is_to_come(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant gift 100 to seat ana from 01-01
        burn 1 by ana at 01-05
        move ana to cy carrying at 03-01 said 01-06
        grant other 50 to seat ana from 01-10 priority 1 said 01-06
        burn 3 by ana at 01-12
    """)
    assert story.left("ana") == {"other": "47", "gift": "99"}


def test_what_comes_after_a_burn_was_taken_back_falls_where_it_belongs(play: Play) -> None:
    story = play("""
        grant ours 10 from 01-01
        grant more 10 from 02-01
        burn 1 by ana at 01-05
        burn 1 by ana at 02-05 id b
        take back b
        grant late 5 from 01-15 priority 1
        burn 2 by ana at 01-20
    """)
    assert story.left() == {"late": "3", "ours": "9", "more": "10"}


def test_an_edit_that_seats_two_at_two_instants_is_played_from_the_first(play: Play) -> None:
    story = play("""
        contract c carry from 2026-01-01
        subscription team seats zed
        recurring monthly 31 per seat of team every P1M
        burn 1 by ana at 01-06
        burn 1 by bo at 01-21
        add ana at 01-05 and add bo at 01-20 said 01-25
    """)
    assert (story.overage("ana"), story.overage("bo")) == ("0", "0")
    assert (story.left("ana"), story.left("bo")) == ({"monthly": "26"}, {"monthly": "11"})


def test_a_late_grant_pays_what_was_burned_since_in_the_stretch_that_it_falls_into(play: Play) -> None:
    story = play("""
        grant gift 10 to seat ana from 01-01
        burn 5 by ana at 01-10
        grant other 10 to seat ana from 01-05 priority 1
    """)
    assert story.left("ana") == {"other": "5", "gift": "10"}


def test_what_a_change_at_a_seats_boundary_plays_again_is_taken_out_first(play: Play) -> None:
    """Of what the seat burned from there on, however close before it the boundary is."""
    story = """
        grant ours 10 from 01-01
        grant gift 5 to seat ana from {boundary} priority 200
        burn 3 by ana at 01-20
        adjust gift by 1 at {change}
    """
    assert play(story.format(boundary="01-18", change="01-18")).left() == {"ours": "7"}
    other = story.format(boundary="01-17T23:59:59.999999", change="01-18") + "burn 1 by ana at 01-17T23:59:59.999999"
    assert play(other + "\n adjust gift by 1 at 01-18").left() == {"ours": "6"}


def test_what_a_void_makes_a_debt_is_paid_by_what_comes_next(play: Play) -> None:
    story = play("""
        contract c carry from 2026-01-01
        grant gift 10 to seat ana from 01-01
        grant ours 10 from 02-01
        burn 5 by ana at 01-05
        void gift at 01-02
    """)
    assert story.overage("ana", "01-31") == "5"
    assert story.left("pool", "02-01") == {"ours": "5"}


def test_what_a_late_burn_changes_is_kept_in_each_stretch_between(play: Play) -> None:
    story = play("""
        grant gift 10 to seat ana from 01-01
        grant other 5 to seat ana from 02-01
        grant third 5 to seat ana from 03-01
        burn 1 by ana at 02-05
        burn 1 by ana at 03-10
        burn 4 by ana at 01-05
    """)
    assert story.left("ana", "02-10") == {"gift": "5", "other": "5"}
    assert story.left("ana") == {"gift": "4", "other": "5", "third": "5"}


def test_a_late_burn_ends_with_the_stretch_that_it_falls_into(play: Play) -> None:
    """The seat's own grant burns behind the pool's until that is over, at the very instant at which the seat's stretch begins."""
    story = play("""
        grant ours 10 from 01-01 until 2026-02-01
        grant gift 5 to seat ana from 01-01 priority 150
        burn 2 by ana at 01-10
        burn 3 by ana at 02-10
        burn 1 by ana at 01-05
    """)
    assert story.left("pool", "01-20") == {"ours": "7"}
    assert story.left("ana") == {"gift": "2"}


def test_a_late_burn_that_ones_own_grant_pays_names_no_pool() -> None:
    story = """
        grant ours 10 from 01-01
        grant more 5 from 02-01
        grant gift 5 to seat ana from 01-01 priority 1
        burn 1 by bo at 01-10
        burn 1 by bo at 02-10
        burn 1 by ana at 01-05
    """
    assert last(story) == ["ana 01-05"]


def test_what_is_given_back_pays_for_those_of_its_contract_alone(play: Play) -> None:
    story = play("""
        contract d from 2026-01-01
        contract c from 2026-01-01
        grant ours 10 from 01-01
        burn 10 by ana at 01-05 id first
        burn 1 by bo at 01-07
        burn 5 by zed at 01-08 on d
        take back first
    """)
    assert story.left() == {"ours": "9"}
    assert story.overage("zed", on="d") == "5"


def test_what_is_given_back_names_nobody_who_burned_outside_his_contract() -> None:
    story = """
        contract d from 2026-01-01 until 2026-01-20
        contract c from 2026-01-01
        grant all 10 to customer from 01-01
        burn 8 by ana at 01-03 id first
        burn 5 by bo at 01-04
        burn 1 by dy at 01-21 on d
        take back first
    """
    assert last(story) == ["customer 01-03", "ana 01-03", "bo 01-04"]


def test_a_boundary_at_which_nothing_happens_cuts_nothing(play: Play) -> None:
    """February's slice was voided before it began, and January's goes on."""
    story = play("""
        recurring monthly 10 to pool every P1M for 2 periods
        void monthly slice 1 at 02-01 said 01-02
        burn 3 by ana at 01-10 id first
        burn 2 by ana at 02-10
        take back first
    """)
    assert story.left() == {"monthly": "8"}


def test_a_debt_that_is_handed_on_at_a_boundary_is_paid_there_by_the_heir(play: Play) -> None:
    """Who has burned nothing himself so far."""
    story = play("""
        contract c carry from 2026-01-01
        subscription team seats ana
        grant ours 10 from 02-01
        burn 5 by ana at 01-05
        move ana to bo carrying at 02-01
        burn 1 by cy at 02-05
        burn 2 by bo at 02-06 id own
    """)
    assert story.paid("own") == ["2 of ours"]
    assert (story.left(), story.overage("ana"), story.overage("bo")) == ({"ours": "2"}, "0", "0")


def test_a_debt_ends_with_its_contract_whatever_the_customer_is_given_then(play: Play) -> None:
    story = play("""
        contract d from 2026-01-01
        contract c carry from 2026-01-01 until 2026-02-01
        burn 5 by ana at 01-05
        grant all 10 to customer from 02-01
        burn 1 by zed at 02-05 on d
    """)
    assert story.left("customer") == {"all": "9"}
    assert story.overage("ana") == "5"


def test_more_than_a_hundred_debtors_are_every_seat() -> None:
    for debtors, named in ((100, 101), (101, 2)):
        burns = "\n".join(f"burn 1 by s{n:03} at 01-02" for n in range(debtors))
        found = last(f"contract c carry from 2026-01-01 \n {burns} \n grant ours 10 from 02-01")
        assert len(found) == named
        assert ("every seat of c 02-01" in found) == (debtors > 100)


def test_a_seat_that_two_instants_of_one_edit_name_is_played_from_the_first(play: Play) -> None:
    story = play("""
        contract c carry from 2026-01-01
        subscription team seats zed
        recurring monthly 31 per seat of team every P1M
        grant gift 10 to seat ana from 01-01 priority 200
        burn 1 by ana at 01-06
        burn 1 by bo at 01-21
        add ana at 01-05 and add bo at 01-20 said 01-25
    """)
    assert story.left("ana") == {"monthly": "26", "gift": "10"}


def test_nothing_is_left_of_stretches_whose_burns_were_all_taken_back(play: Play) -> None:
    story = play("""
        grant first 10 to seat ana from 01-01
        grant second 10 to seat ana from 01-10
        grant third 10 to seat ana from 01-20
        grant fourth 10 to seat ana from 02-01
        burn 1 by ana at 01-05
        burn 5 by ana at 01-12 id x
        burn 6 by ana at 01-22 id y
        take back y
        take back x
        burn 1 by ana at 02-10
    """)
    assert story.left("ana", "01-25") == {"first": "9", "second": "10", "third": "10"}
    assert story.left("ana") == {"first": "8", "second": "10", "third": "10", "fourth": "10"}


def test_a_burn_taken_back_is_gone_from_a_stretch_that_is_over(play: Play) -> None:
    story = play("""
        grant gift 10 to seat ana from 01-01
        grant other 5 to seat ana from 02-01
        burn 1 by ana at 01-05 id x
        burn 1 by ana at 01-06
        burn 1 by ana at 02-05
        take back x
    """)
    assert story.left("ana", "01-20") == {"gift": "9"}
    assert story.left("ana") == {"gift": "8", "other": "5"}


# --- who paid a burn that came late ----------------------------------------------------------------------------------


def test_who_pays_a_late_burn_depends_on_the_burns_before_it(play: Play) -> None:
    """However it is found: by what is known of the newest burns, by those before it or by those after it."""
    story = """
        grant little 2 to seat ana from 01-01
        grant large 10 to seat ana from 01-01 priority 200
        burn 1 by ana at 01-02
    """
    with_two = story + "burn 1 by ana at 03-10 \n burn 1 by ana at 03-08 \n burn 1 by ana at 03-05 id late"
    assert play(with_two).paid("late") == ["1 of little"]
    with_three = story + "burn 1 by ana at 03-01 \n burn 1 by ana at 03-02 \n burn 1 by ana at 03-03"
    assert play(with_three + "\n burn 3 by ana at 01-03 id late").paid("late") == ["1 of little", "2 of large"]
    taken_back = story + "burn 2 by ana at 01-10 id x \n take back x \n burn 2 by ana at 01-05 id late"
    assert play(taken_back).paid("late") == ["1 of little", "1 of large"]


def test_who_pays_a_late_burn_between_two_stretches(play: Play) -> None:
    """The burns are in the order of time, whatever they are called."""
    story = play("""
        grant little 2 to seat ana from 01-01
        grant large 10 to seat ana from 01-01 priority 200
        grant more 1 to seat ana from 02-01 priority 300
        burn 1 by ana at 01-02 id z
        burn 1 by ana at 02-05 id a
        burn 1 by ana at 02-03 id m
    """)
    assert story.paid("m") == ["1 of little"]


def test_who_pays_a_late_burn_where_all_later_ones_were_taken_back(play: Play) -> None:
    story = play("""
        grant ours 1 from 01-01
        grant gift 10 to seat ana from 01-01 priority 200
        burn 1 by ana at 01-02
        burn 1 by bo at 01-03
        burn 1 by ana at 01-05 id x
        burn 1 by ana at 01-06 id y
        take back x
        take back y
        burn 3 by ana at 01-04 id late
    """)
    assert story.paid("late") == ["3 of gift"]


@pytest.mark.parametrize("to", ["to pool", "to customer"])
def test_who_pays_a_late_burn_behind_the_one_that_a_pool_could_not_wholly_pay(play: Play, to: str) -> None:
    """The burns of January 2 and the first 2 of the next one go to the first gift and the pool."""
    story = play(f"""
        grant first 2 to seat ana priority 1 from 01-01
        grant ours 3 {to} from 01-01
        grant second 3 to seat ana priority 200 from 01-01
        grant third 10 to seat ana priority 300 from 01-01
        burn 1 by ana at 01-02
        burn 2 by ana at 01-02T12:00
        burn 4 by ana at 01-03
        burn 1 by ana at 03-01
        burn 1 by ana at 03-02
        burn 3 by ana at 01-10 id late
    """)
    assert story.paid("late") == ["1 of second", "2 of third"]


def test_who_pays_a_late_burn_behind_some_that_came_before_a_pool_ran_dry(play: Play) -> None:
    story = play("""
        grant first 4 to seat ana priority 1 from 01-01
        grant ours 3 from 01-01
        grant second 10 to seat ana priority 200 from 01-01
        burn 1 by ana at 01-02
        burn 2 by ana at 01-02T12:00
        burn 3 by bo at 01-02T18:00
        burn 1 by cy at 01-02T20:00
        burn 1 by ana at 01-03
        burn 1 by ana at 03-01
        burn 1 by ana at 03-02
        burn 3 by ana at 01-10 id late
    """)
    assert story.paid("late") == ["3 of second"]


def test_who_pays_a_late_burn_that_displaces_others(play: Play) -> None:
    story = play("""
        grant ours 5 from 01-01
        grant gift 5 to seat ana priority 200 from 01-01
        burn 5 by bo at 01-10
        burn 2 by ana at 01-05 id late
    """)
    assert story.paid("late") == ["2 of ours"]
    assert story.overage("bo") == "2"


def test_who_pays_a_late_burn_behind_a_pool_that_ran_dry(play: Play) -> None:
    story = play("""
        grant first 5 to seat ana priority 1 from 01-01
        grant second 10 to seat ana priority 200 from 01-01
        grant ours 2 from 01-01
        burn 3 by ana at 01-02
        burn 2 by bo at 01-03
        burn 1 by cy at 01-04
        burn 1 by ana at 02-01
        burn 1 by ana at 02-02
        burn 3 by ana at 01-10 id late
    """)
    assert story.paid("late") == ["2 of first", "1 of second"]


# --- what is agreed anew before anybody burned again -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("agreed", "left", "over"),
    [
        (
            "recurring more 31 per seat of team every P1M priority 10 from 01-10",
            {"more": "30", "monthly": "9", "gift": "4"},
            "0",
        ),
        ("reset at 01-10", {"monthly": "8", "gift": "0"}, "0"),
        ("end contract at 01-10", {}, "1"),
        ("end monthly at 01-10", {"gift": "3"}, "0"),
        ("void monthly at 01-10", {"gift": "3"}, "0"),
        ("change team revoke_on_removal yes at 01-08", {"gift": "3"}, "0"),
    ],
)
def test_what_is_agreed_for_later_holds_for_whoever_burned_before(
    play: Play, agreed: str, left: dict[str, str], over: str
) -> None:
    """Though nobody has burned since: the seat's next burn meets what is agreed by then."""
    story = play(f"""
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M priority 50
        grant gift 4 to seat ana priority 200 from 01-01
        {"remove ana at 01-10 said 01-04" if "revoke" in agreed else ""}
        burn 1 by ana at 01-05
        {agreed} said 01-06
        burn 1 by ana at 01-12
    """)
    assert (story.left("ana"), story.overage("ana")) == (left, over)


def test_a_reset_that_was_said_before_is_met_by_the_next_burn(play: Play) -> None:
    story = play("""
        grant gift 5 to seat ana rollover max 2 from 01-01
        burn 1 by ana at 01-05
        reset at 01-10 said 01-06
        burn 1 by ana at 01-12
    """)
    assert story.left("ana") == {"gift": "1"}


def test_what_a_removal_revoked_is_given_back_however_long_nobody_looks(play: Play) -> None:
    story = play("""
        subscription team seats ana revoking
        recurring yearly 100 per seat of team every P1Y
        grant ours 10 from 01-01
        burn 1 by ana at 01-02
        remove ana at 01-05
        burn 1 by ana at 01-10
        add ana at 01-20
        burn 1 by ana at 04-15
    """)
    assert story.left("ana") == {"yearly": "98"}
    assert story.left() == {"ours": "9"}


def test_a_boundary_at_which_nothing_happens_leaves_the_burns_before_it_where_they_are(play: Play) -> None:
    """Also where the pool ran dry before it, and has something left now."""
    story = play("""
        recurring monthly 10 to pool every P1M for 2 periods
        void monthly slice 1 at 02-01 said 01-02
        burn 10 by ana at 01-10 id first
        burn 1 by bo at 01-11
        burn 1 by cy at 02-10
        take back first
    """)
    assert story.left() == {"monthly": "8"}

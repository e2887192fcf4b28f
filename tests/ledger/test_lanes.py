"""A usual burn goes the way of the one before it, until anything else happens to its account."""

from tests.ledger.language import Play


def test_what_was_taken_back_in_between_is_not_burned_on_top_of(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant anas 10 to seat ana from 06-01
        burn 1 by ana at 06-02 id a
        burn 1 by ana at 06-03 id b
        burn 1 by ana at 06-04 id c
        take back a
        take back b
        take back c
        burn 4 by ana at 06-05
    """)

    assert story.balance("ana") == "6"


def test_a_pool_that_went_on_without_a_seat_is_drawn_on_where_it_was(play: Play) -> None:
    story = play("""
        subscription team seats ana bo
        grant ours 10 from 06-01 until 06-10
        grant more 10 from 06-05
        burn 1 by ana at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-03T01:00
        burn 1 by bo at 06-06
        burn 2 by ana at 06-04
    """)

    assert [story.balance("pool", at) for at in ("06-04T12:00", "06-07", "06-11")] == ["5", "14", "10"]


def test_a_burn_goes_on_to_whoever_pays_next_to_the_last_credit(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant ours 5 from 06-01 priority 3
        grant first 3 to seat ana from 06-01 priority 1
        grant second 2 to seat ana from 06-01 priority 2
        burn 1 by ana at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-04
        burn 1 by ana at 06-05
        burn 2 by ana at 06-06
        burn 3 by ana at 06-07
        burn 2 by ana at 06-08
    """)

    assert [story.balance("ana", at) for at in ("06-05", "06-06", "06-07", "06-09")] == ["2", "1", "0", "0"]
    assert [story.balance("pool", at) for at in ("06-06", "06-07", "06-08", "06-09")] == ["5", "4", "1", "0"]
    assert story.overage("ana") == "1"


def test_a_credit_that_ended_pays_no_more(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant ours 10 from 06-01
        grant anas 9 to seat ana from 06-01 until 06-04
        burn 1 by ana at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-03T01:00
        burn 1 by ana at 06-04
    """)

    assert story.balance("ana", "06-03T02:00") == "6"
    assert story.balance("pool") == "9"


def test_nobody_draws_on_a_gift_once_the_contract_has_ended(play: Play) -> None:
    """L12."""
    story = play("""
        contract c from 2026-01-01 until 06-05
        grant gift 10 to customer
        burn 1 by ana at 06-06
        burn 1 by ana at 06-07
        burn 1 by ana at 06-08
    """)

    assert story.balance("customer") == "10" and story.overage("ana") == "3"


def test_a_credit_that_ranks_behind_the_pools_waits_for_it(play: Play) -> None:
    """L5."""
    story = play("""
        subscription team seats ana
        grant first 2 to seat ana from 06-01 priority 1
        grant ours 3 from 06-01 priority 2
        grant last 5 to seat ana from 06-01 priority 3
        burn 1 by ana at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-04
        burn 1 by ana at 06-05
        burn 1 by ana at 06-06
        burn 1 by ana at 06-07
        burn 1 by ana at 06-08
    """)

    assert [story.balance("pool", at) for at in ("06-04", "06-05", "06-07", "06-09")] == ["3", "2", "0", "0"]
    assert story.left("ana", "06-07") == {"first": "0", "last": "5"}
    assert story.left("ana") == {"first": "0", "last": "3"}


def test_what_was_burned_before_a_pools_grant_ran_dry_is_not_burned_again(play: Play) -> None:
    story = play("""
        subscription team seats ana bo
        grant own 10 to seat ana from 06-01 priority 1
        grant ours 2 from 06-01 priority 2
        grant more 10 from 06-01 priority 3
        burn 3 by ana at 06-02
        burn 3 by bo at 06-03
        burn 1 by ana at 06-04
        burn 1 by ana at 06-05
        burn 5 by ana at 06-06
        burn 4 by ana at 06-07
    """)

    assert story.left("ana", "06-07") == {"own": "0"}
    assert [story.balance("pool", at) for at in ("06-04", "06-07", "06-08")] == ["9", "9", "5"]


def test_who_burned_a_moment_ago_burns_nothing_of_a_contract_that_ended_since(play: Play) -> None:
    story = play("""
        subscription team seats ana
        grant ours 10 from 06-01
        burn 1 by ana at 06-02
        burn 1 by ana at 06-03
        burn 1 by ana at 06-04
        end contract at 06-05
        burn 1 by ana at 06-06
        burn 1 by ana at 06-07
    """)

    assert story.overage("ana") == "2" and story.balance("pool", "06-04T12:00") == "7"

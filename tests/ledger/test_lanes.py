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

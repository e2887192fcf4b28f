"""One test for each fault that we had ourselves, named after what a user would have seen."""

from tests.ledger.language import Play


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

"""What is asked in one way and in another has one answer: of a time, of a scope, of one credit type, page by page. By pencil."""

from typing import Any

from ledger import seats
from ledger.account_rows import newest_burn
from ledger.contracts import customer, load_contract
from ledger.facts import AddSeats, PeriodReset, RemoveSeats, SeatChange, SeatName
from ledger.instants import Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import EverySeat, Folded, Scope
from tests.ledger.duel import in_pages
from tests.ledger.language import Play, Played, play, play_on
from tests.ledger.memory import MemoryRows
from tests.ledger.test_changed import last
from tests.ledger.test_due import _whose

CUSTOMER = "acme"


def _at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


def _scope(who: str | None, contract_id: str | None = "c", group: str = "seat_id") -> Scope:
    return Scope(customer_id=CUSTOMER, contract_id=contract_id, seat_id=who, seat_group_key=group)


def _ledger(story: str) -> Any:
    return play(story).ledger


# --- balances --------------------------------------------------------------------------------------------------------


def test_a_seat_that_has_another_type_of_credit_has_no_empty_row_of_this_one() -> None:
    ledger = _ledger("subscription team seats ana bo \n grant gift 5 tokens to seat ana from 01-02")
    whole = ledger.balances(CUSTOMER, _at("01-10"))

    assert [(row.scope.seat_id, row.scope.credit_type) for row in whole] == [("bo", "credits"), ("ana", "tokens")]
    for credit_type in ("credits", "tokens"):
        of_it = [row for row in whole if row.scope.credit_type == credit_type]
        assert ledger.balances(CUSTOMER, _at("01-10"), credit_type=credit_type) == of_it


def test_who_burned_of_a_pool_and_was_given_nothing_has_a_row(play: Play) -> None:
    story = play("grant ours 10 until 2026-02-01 from 01-01 \n burn 1 by ana at 01-02")
    assert story.scopes("01-03") == ["pool", "ana"]
    assert story.scopes("02-03") == ["pool", "ana"]


def test_a_scope_that_nobody_has_heard_of_has_nothing() -> None:
    ledger = _ledger("grant all 5 to customer from 01-01 \n grant ours 3 from 01-01")
    at = _at("01-10")

    assert ledger.balance(_scope(None, None), at).balance == 5 * 10**9
    assert ledger.balance(_scope(None, "nobodys"), at).balance == 0
    assert ledger.balance(_scope("ana", group="desk"), at).balance == 0
    covered, paid = ledger.available(_scope("ana", group="desk"), at, 6 * 10**9)
    assert (covered, [amount for _, _, amount in paid]) == (True, [5 * 10**9, 10**9])


def test_a_reset_of_the_customers_pool_that_no_burn_followed_at_once_is_seen(play: Play) -> None:
    story = play("""
        grant all 10 to customer rollover max 3 from 01-01
        grant more 5 to customer from 02-01
        burn 1 by ana at 01-05
        reset customer at 01-10
        burn 1 by ana at 02-05
    """)
    assert story.left("customer", "01-20") == {"all": "3"}


def test_charges_until_an_instant_end_with_it(play: Play) -> None:
    story = play("subscription team seats ana price 10")
    assert story.charges("01-31T23:59:59.999999") == ["period 1 x 1 = 10 at 2026-01-01"]
    assert len(story.charges("02-01")) == 2


# --- entries ---------------------------------------------------------------------------------------------------------


def every_cut(story: str) -> None:
    """A time of the account, of each scope of it, and pages of it, against the whole."""
    played = play(story)
    ledger: Any = played.ledger
    until = played.now
    whole = ledger.entries(CUSTOMER, until)
    scopes = list(dict.fromkeys(line.scope for line in whole))
    cuts = sorted({line.time + more for line in whole for more in (0, 1)})
    for n, since in enumerate(cuts):
        later = [line for line in whole if line.time >= since]
        assert ledger.entries(CUSTOMER, until, since=since) == later
        scope = scopes[n % len(scopes)]
        assert ledger.entries(CUSTOMER, until, since=since, scope=scope) == [
            line for line in later if line.scope == scope
        ]
    assert in_pages(ledger, CUSTOMER, until, 2) == whole
    for scope in scopes[-2:]:
        assert in_pages(ledger, CUSTOMER, until, 3, scope) == [line for line in whole if line.scope == scope]


def test_what_recurs_while_nobody_burns_is_told_once() -> None:
    every_cut("""
        contract c from 06-01
        grant weekly 2 to pool every P1W
        grant anas 3 to seat ana every P10D
        burn 1 by ana at 06-03
        burn 1 by ana at 07-10
        tick 07-20
    """)


def test_what_happens_to_seats_that_never_burn_is_told_once() -> None:
    every_cut("""
        contract c from 06-01
        subscription team seats ana revoking
        subscription desk seats ed
        recurring monthly 10 per seat of team every P1M for 2 periods
        recurring daily 1 per seat of desk every P10D
        remove ana at 06-05
        add ana at 06-08
        move ana to bo carrying at 06-10
        tick 07-05
    """)


def test_debts_are_told_once_at_the_instant_at_which_they_are_paid() -> None:
    every_cut("""
        contract c carry from 06-01
        subscription team seats ana
        grant ours 3 from 06-10
        grant more 3 from 06-20
        burn 5 by ana at 06-02
        burn 2 by bo at 06-03
        burn 1 by cy at 06-12
        move ana to di carrying at 06-15
        tick 07-05
    """)


def test_what_lapses_is_told_to_whom_it_names() -> None:
    every_cut("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 10 per seat of team every P1M
        grant gift 5 to seat ana
        recurring shared 10 to pool every P1M
        grant other 5 to seat ana until 2026-06-05
        grant ours 5 until 2026-06-05
        adjust shared by -5 seat cy at 06-10
        adjust gift by 3 seat cy at 06-10
        adjust monthly by 2 seat bo at 06-11
        adjust ours by 1 at 06-12
        move ana to di carrying at 06-13
        adjust gift by 1 at 06-14
        adjust other by 1 at 06-14
        adjust gift by 1 seat ana at 06-15
    """)


def test_a_scope_of_a_type_that_the_customer_does_not_have_has_no_entries() -> None:
    ledger = _ledger("grant ours 3 from 01-01")
    tokens = Scope(customer_id=CUSTOMER, contract_id="c", credit_type="tokens")
    assert ledger.entries(CUSTOMER, _at("02-01"), scope=tokens) == []
    assert ledger.entries(CUSTOMER, _at("02-01"), scope=_scope(None, "nobodys")) == []


def test_a_page_behind_a_line_begins_with_what_came_after_it_also_if_a_later_time_is_asked_for() -> None:
    ledger = _ledger("grant ours 9 from 01-01 \n burn 1 at 01-02 \n burn 2 at 01-03 \n burn 3 at 01-04")
    whole = ledger.entries(CUSTOMER, _at("02-01"))
    assert ledger.entries(CUSTOMER, _at("02-01"), since=_at("01-04"), behind=whole[0]) == whole[3:]


# --- what is due -----------------------------------------------------------------------------------------------------


def test_where_a_debt_is_paid_the_debtors_are_due() -> None:
    story = play("contract c carry from 01-01 \n grant ours 10 from 02-01 \n burn 5 by bo at 01-02")
    assert _whose(story, "02-01") == ["pool", "bo"]


def test_only_those_are_due_whose_subscription_gives_something() -> None:
    story = play("""
        subscription team seats ana
        subscription desk seats ed
        recurring monthly 10 per seat of team every P1M
        add bo in team at 01-10 and add fay in desk at 01-10
        end desk at 01-20
    """)
    assert {at: _whose(story, at) for at in ("01-10", "01-20", "02-01")} == {
        "01-10": ["bo"],
        "01-20": [],
        "02-01": ["every one of team"],
    }


def test_what_is_due_a_microsecond_away_is_due_then() -> None:
    story = play("""
        grant gift 5 to seat ana every P1D from 01-01T00:00:00.000001 until 2026-01-03T00:00:00.000002
        grant other 5 to seat ana from 01-05T00:00:00.000001
    """)
    assert story.dues("01-01", "01-06") == [
        "2026-01-01T00:00:00.000001Z",
        "2026-01-02T00:00:00.000001Z",
        "2026-01-03T00:00:00.000001Z",
        "2026-01-03T00:00:00.000002Z",
        "2026-01-05T00:00:00.000001Z",
    ]
    assert _whose(story, "01-02") == []


# --- who is known ----------------------------------------------------------------------------------------------------


def test_a_customer_of_whom_only_a_reset_is_known_is_known() -> None:
    ledger = Ledger(MemoryRows())
    ledger.fold(PeriodReset(id="r", customer_id="solo", time=_at("01-05"), contract_id=None), _at("01-05"))
    ledger.fold(PeriodReset(id="r", customer_id="late", time=_at("01-05"), contract_id=None), _at("05-05"))
    assert ledger.customers() == ["solo"]


def test_every_seat_is_whoever_sat_there_or_was_moved_there() -> None:
    story = play("subscription team seats ana \n grant ours 1 \n move ana to bo at 01-05 \n end contract at 06-01")
    ledger: Any = story.ledger
    outcome = list(story.outcomes.values())[-1]
    assert isinstance(outcome, Folded)
    [every] = [one for one in outcome.changed if isinstance(one, EverySeat)]
    assert [scope.seat_id for scope in ledger.scopes(CUSTOMER, every)] == ["ana", "bo"]


def test_the_newest_burn_is_known_in_whatever_order_they_come() -> None:
    for story in ("burn 1 at 01-05 \n burn 1 at 01-03", "burn 1 at 01-03 \n burn 1 at 01-04 \n burn 1 at 01-05"):
        played = play("grant ours 9 from 01-01 \n burn 1 at 01-02")
        ledger: Any = played.ledger
        ledger.flush()
        play_on(played, story)
        ledger.flush()
        assert newest_burn(ledger.book, customer(ledger.book, CUSTOMER)) == _at("01-05")
        play_on(played, "burn 1 tokens at 01-04")
        assert newest_burn(ledger.book, customer(ledger.book, CUSTOMER)) == _at("01-05")


def test_a_customer_has_so_many_seat_group_keys_and_no_more() -> None:
    for more, code in ((0, None), (1, "too_large")):
        groups = [f"group-{n}" for n in range(1_000 + more)]
        lines = "\n".join(f"subscription {group} quantity 1 group {group}" for group in groups)
        story = play(f"contract c from 2026-01-01 bringing \n {lines}")
        assert story.refused().get("contract-c") == code


# --- seats -----------------------------------------------------------------------------------------------------------


def test_a_second_edit_of_an_instant_goes_on_from_the_first(play: Play) -> None:
    """Only what is left when all of them are over counts, and only that is due."""
    story = play("subscription team seats bo \n add ana at 01-10 \n remove ana at 01-10")
    assert story.seats(at="01-09") == "bo +0"
    assert story.seats() == "bo +0"
    story = play("""
        subscription team seats bo
        add ana at 01-10
        remove ana and add ana at 01-10
        remove ana at 01-20
    """)
    assert (story.seats(at="01-15"), story.seats()) == ("ana bo +0", "bo +0")
    story = play("subscription team seats ana \n move ana to cy at 01-10 \n add cy and remove ana at 01-10")
    assert story.seats() == "cy +0"


def test_operations_of_one_edit_apply_in_the_order_of_the_law_whatever_is_written_first(play: Play) -> None:
    story = play("subscription team seats bo 1 unassigned \n add ana and unassigned -1 at 01-10")
    assert (story.refused(), story.seats()) == ({}, "ana bo +0")
    story = play("subscription team seats ana \n set cy and move ana to cy at 01-10")
    assert (story.refused(), story.seats()) == ({}, "cy +0")


def dues(story: str) -> list[str]:
    return play(story).dues("01-01", "01-31")


def test_an_instant_is_due_if_anybody_comes_or_leaves_when_it_is_over() -> None:
    assert dues("subscription team seats ana \n move ana to cy at 01-10") == ["2026-01-10"]
    assert dues("subscription team seats ana \n remove ana and add ana at 01-10") == []
    assert dues("subscription team seats bo \n add ana at 01-10 \n remove ana at 01-10") == []
    moved = "subscription team seats ana \n move ana to cy at 01-10 \n"
    assert dues(moved + "add cy and remove ana at 01-10") == ["2026-01-10"]
    unmade = "subscription team seats bo \n recurring monthly 1 per seat of team every P1M \n add ana at 01-20 \n"
    assert dues(unmade + "add ana at 01-10") == ["2026-01-10"]
    assert _whose(play(unmade), "01-20") == ["ana"]
    assert _whose(play(unmade + "add ana at 01-10"), "01-20") == []


def test_a_late_set_removes_who_left_only_later(play: Play) -> None:
    story = play("subscription team seats ana bo \n remove ana at 01-20 \n set bo at 01-10")
    assert (story.seats(at="01-05"), story.seats(at="01-15")) == ("ana bo +0", "bo +0")
    story = play("""
        subscription team seats ana
        remove ana at 01-20
        add bo at 01-10 and add ana at 01-25
        set bo at 01-15
    """)
    assert (story.seats(at="01-12"), story.seats(at="01-17"), story.seats()) == ("ana bo +0", "bo +0", "ana bo +0")


def test_who_left_before_a_late_edit_brings_him_back_is_due_when_he_left() -> None:
    story = play("""
        subscription team seats ana
        recurring monthly 31 per seat of team every P1M
        remove ana at 01-20
        add bo at 01-10 and add ana at 01-25
    """)
    assert [_whose(story, at) for at in ("01-10", "01-20", "01-25")] == [["bo"], ["ana"], ["ana"]]


def test_what_is_said_of_a_person_outlives_a_seat_that_never_was() -> None:
    """Who comes and is removed at one instant never sat there; a name or an address that was said of him counts when he comes."""
    for said, kept in ((SeatName(seat_id="ana"), False), (SeatName(seat_id="ana", name="Ann"), True),
                       (SeatName(seat_id="ana", email="ann@acme"), True)):  # fmt: skip
        story = play("subscription team seats bo")
        ledger: Any = story.ledger
        for id, operation in (("a", AddSeats(starting_at=_at("01-10"), seat_ids=(said,))),
                              ("b", RemoveSeats(starting_at=_at("01-10"), seat_ids=(said,)))):  # fmt: skip
            edit = SeatChange(
                id=id, customer_id=CUSTOMER, time=_at("01-10"), contract_id="c", subscription_id="team",
                operations=(operation,),
            )  # fmt: skip
            assert isinstance(ledger.fold(edit, _at("01-10")), Folded)
        who = customer(ledger.book, CUSTOMER)
        [team] = load_contract(ledger.book, who.number, who.contracts[0].number).subscriptions
        assert (seats.seat(ledger.book, who.number, team, "ana") is not None) == kept
        assert story.seats() == "bo +0"


def test_a_late_edit_names_nobody_whose_moves_stay_as_they_were() -> None:
    story = """
        subscription team seats ana bo cy
        recurring monthly 31 per seat of team every P1M
        move ana to al and move bo to bl at 01-20
        move cy to cl at 01-25
        add zed at 01-10
    """
    assert last(story) == ["zed 01-10"]


def test_an_edit_that_changes_nothing_at_its_first_instant_names_the_pool_from_the_second() -> None:
    story = """
        subscription team seats ana
        recurring monthly 31 per unit of team every P1M
        add bo at 01-10
        add bo at 01-10 and add cy at 01-20
    """
    assert last(story) == ["pool 01-20"]


def _result(story: Played, id: str) -> dict[str, Any]:
    outcome = story.outcomes[id]
    assert isinstance(outcome, Folded)
    found: dict[str, Any] = outcome.result["team"]
    return found


def test_an_edit_says_who_came_and_left_since_just_before_it() -> None:
    story = play("""
        subscription team seats bo
        add ana at 01-10
        remove ana and add ana at 01-10 id again
        add cy at 01-19T23:59:59.999999
        remove cy at 01-20 id left
    """)
    assert (_result(story, "again")["added"], _result(story, "again")["removed"]) == (["ana"], [])
    assert (_result(story, "left")["added"], _result(story, "left")["removed"]) == ([], ["cy"])
    at = _at("01-20") + 1
    empty = SeatChange(
        id="empty", customer_id=CUSTOMER, time=at, contract_id="c", subscription_id="team", operations=()
    )
    outcome = story.ledger.fold(empty, at)
    assert isinstance(outcome, Folded)
    assert (outcome.result["team"]["previous_quantity"], outcome.result["team"]["quantity"]) == (2, 2)

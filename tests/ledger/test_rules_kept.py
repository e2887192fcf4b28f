"""Rules that a mutant broke unseen: each is a few lines for the pencil, named by what a user sees."""

import pytest

from ledger.amounts import UNIT, text
from ledger.facts import CreditBurn
from ledger.history import balances_of
from ledger.identities import forgotten, known_from
from ledger.instants import DAY, HOUR, Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Refused, Repeated, Scope
from tests.ledger.language import Play, play_on
from tests.ledger.language import play as language_play
from tests.ledger.memory import MemoryRows

# --- what a contract brings along ------------------------------------------------------------------------------------


def test_what_a_contract_brings_along_is_there_from_its_start(play: Play) -> None:
    story = play("""
        contract d bringing from 03-01
        subscription team seats ana +1 unassigned
        recurring monthly 100 per seat of team every P1M
        recurring each 10 per unit of team every P1M
        grant once 7 to seat ana
        grant later 5 from 03-10
        burn 3 at 03-02
    """)

    assert story.refused() == {}
    assert story.seats(at="03-01") == "ana +1"
    assert story.left("ana") == {"monthly": "100", "once": "7"}
    assert story.left("pool", "03-11") == {"each": "17", "later": "5"}


@pytest.mark.parametrize(
    ("brought", "code"),
    [
        ("subscription team seats ana;subscription team seats bo", "already_exists"),
        ("subscription team seats code x;subscription club seats code x", "already_exists"),
        ("recurring r 1 to pool every P1M;recurring r 2 to pool every P1M", "already_exists"),
        ("recurring r 1 to pool every P1M;grant r 2", "already_exists"),
        ("grant g 1;grant g 2 to seat ana", "already_exists"),
        ("subscription club seats ana;recurring r 1 per unit of team every P1M", "unknown_subscription"),
        ("subscription team quantity 2;recurring r 1 per seat of team every P1M", "wrong_mode"),
    ],
)
def test_a_contract_that_brings_along_what_does_not_go_together_is_refused_whole(
    play: Play, brought: str, code: str
) -> None:
    lines = "\n".join(brought.split(";"))
    story = play(f"""
        contract d bringing from 03-01
        {lines}
    """)

    assert story.refused() == {"contract-d": code}
    assert story.scopes() == []


def test_subscriptions_of_a_contract_with_other_codes_or_none_go_together(play: Play) -> None:
    story = play("""
        contract d bringing from 03-01
        subscription team seats ana
        subscription club seats bo
        subscription desk seats cy code x
        subscription lab quantity 2 code y
        recurring units 5 per unit of lab every P1M
        recurring whole 3 to pool every P1M
        grant once 1
    """)

    assert story.refused() == {}
    assert story.left() == {"units": "10", "whole": "3", "once": "1"}


def test_a_contract_of_a_name_that_was_used_is_refused_and_changes_nothing(play: Play) -> None:
    story = play("""
        contract c from 03-01
        grant here 5
        contract c bringing from 03-01 id second
        grant there 7
    """)

    assert story.refused() == {"second": "already_exists"}
    assert story.left() == {"here": "5"}


# --- names within a contract -----------------------------------------------------------------------------------------


def test_a_feature_code_belongs_to_one_subscription_for_ever(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats code x
        subscription desk seats code y id desk
        subscription club seats code x id club
        change desk feature_code x at 03-05 id taken
        change desk feature_code z at 03-05 id free
        subscription lab seats code y id lab
        change team feature_code x at 03-06 id own
    """)

    assert story.refused() == {"club": "already_exists", "taken": "already_exists", "lab": "already_exists"}


def test_what_a_subscription_is_called_cannot_be_called_again(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats ana
        subscription team seats bo id again-team
        recurring monthly 100 per seat of team every P1M
        recurring monthly 7 to pool every P1M id again-monthly
        grant monthly 5 id again-grant
    """)

    assert story.refused() == {
        "again-team": "already_exists",
        "again-monthly": "already_exists",
        "again-grant": "already_exists",
    }
    assert story.left("ana") == {"monthly": "100"}


@pytest.mark.parametrize("first", ["", "change viewer included_seats 1 at 06-02"])
def test_whose_seats_they_are_is_said_with_the_first_of_them_and_not_again(play: Play, first: str) -> None:
    story = play(f"""
        contract c from 06-01
        subscription viewer quantity 2
        {first}
        change viewer mode seats seat_group_key email at 06-05
        recurring monthly 30 per seat of viewer every P1M at 06-05
        add ana in viewer at 06-20
        change viewer mode seats seat_group_key phone at 06-21 id again
    """)

    assert story.refused() == {"again": "wrong_mode"}
    assert story.left("ana") == {"monthly": "15"}


# --- edits that name no contract -------------------------------------------------------------------------------------


def test_an_edit_that_names_no_contract_means_the_one_that_holds_its_time(play: Play) -> None:
    story = play("""
        contract old from 01-01 until 03-01
        subscription team seats ana
        contract new from 03-01
        subscription team seats bo
        add cy anywhere in team at 02-28T23:59:59 said 02-28T23:59:59
        add di anywhere in team at 03-01
    """)

    assert story.refused() == {} and story.waiting() == []
    assert story.seats() == "bo di +0"
    story.contract_id = "old"
    assert story.seats(at="02-28T23:59:59") == "ana cy +0"


def test_an_edit_that_names_no_contract_finds_the_only_one_with_its_subscription(play: Play) -> None:
    story = play("""
        contract one from 03-01
        subscription team seats ana
        contract two from 03-01
        subscription club seats bo code x
        add cy anywhere in club at 03-05
        add di anywhere code x at 03-05
        add ed anywhere at 03-05 id which
        add fay anywhere in desk at 03-05 id none
    """)

    assert story.seats("club") == "bo cy di +0"
    assert story.waiting() == ["which", "none"]


def test_an_edit_outside_every_contract_waits_for_one(play: Play) -> None:
    story = play("""
        contract c from 03-01 until 04-01
        subscription team seats ana
        add bo anywhere at 04-01 id late
    """)

    assert story.waiting() == ["late"]
    play_on(story, "contract d from 04-01")
    story.contract_id = "c"
    assert story.seats(at="03-31") == "ana +0"


# --- what is due by itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "days"),
    [
        ("grant g 10 to seat ana every P1D until 03-05", "02 03 04"),
        ("grant g 10 to seat ana every P1D until 03-09;void g at 03-04 said 03-02", "02 03 04"),
        (
            "grant g 10 to seat ana every P1D until 03-09;void g at 03-04 said 03-02;void g at 03-07 said 03-03",
            "02 03 04 05 06 07",
        ),
        (
            "grant g 10 to seat ana every P1D until 03-09;void g at 03-07 said 03-03;void g at 03-04 said 03-02",
            "02 03 04 05 06 07",
        ),
        ("grant g 10 to seat ana every P1D until 03-05;void g seat bo at 03-03 said 03-02", "02 03 04"),
        ("grant g 10 to seat ana from 03-11 until 03-21", "11 21"),
        ("grant g 10 tokens to seat ana until 03-12;grant h 10 to seat ana until 03-14", "12 14"),
        ("grant g 10 until 03-12 to customer;grant h 10 from 03-14 to pool", "12 14"),
        ("recurring y 100 per seat of team every P1W until 03-20", "08 15 20"),
        ("recurring y 100 per seat of team every P1W from 03-10 anchor 03-04 until 03-20", "10 11 18 20"),
        ("recurring y 100 per seat of team every P1Y;void y at 03-20 said 03-02", "20"),
        ("recurring y 100 per unit of team every P1W until 03-20", "08 15 20"),
        ("recurring y 100 per seat of team every P1Y;add bo at 03-09 said 03-01;end team at 03-15 said 03-02", "09 15"),
        ("grant g 5 to seat ana;end contract at 03-15 said 03-02", "15"),
        ("grant g 5 to seat ana;move ana to bo carrying at 03-10 said 03-02", "10"),
    ],
)
def test_whatever_happens_to_a_credit_by_itself_is_due_then(play: Play, story: str, days: str) -> None:
    lines = "\n".join(story.split(";"))
    told = play(f"""
        contract c from 03-01
        subscription team seats ana billed P1Y
        {lines}
    """)

    assert told.refused() == {}
    assert {f"2026-03-{day}" for day in days.split()} <= set(told.dues("03-01", "03-31"))


def test_nothing_is_due_where_nothing_happens(play: Play) -> None:
    story = play("""
        contract c from 03-01 until 04-20
        subscription team seats +1 unassigned billed P1M
        recurring daily 100 per seat of team every P1D
        grant g 10 to seat ana until 03-12
    """)

    assert story.dues("03-01", "04-30") == ["2026-03-12", "2026-04-01", "2026-04-20"]


# --- questions at the edges ------------------------------------------------------------------------------------------


def test_a_seat_that_sits_there_and_has_nothing_has_one_row_at_nothing(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats ana bo cy
        grant tokens 5 tokens to seat ana
        grant spent 3 to seat bo until 03-02
    """)

    assert story.balance("cy") == story.granted("cy") == story.overage("cy") == "0"
    assert story.scopes().count("ana") == 1
    assert "di" not in story.scopes()
    assert "cy" not in story.scopes("02-28")


def test_a_question_for_some_rows_answers_as_the_whole_does() -> None:
    story = language_play("""
        contract c from 03-01
        subscription team seats ana bo
        grant mine 5 to seat ana
        grant tokens 7 tokens to seat ana
        grant ours 9
        grant all 11 to customer
        contract d from 03-01
        subscription club seats ana
        grant other 13 to seat ana
        burn 2 by bo at 03-02
    """)
    assert isinstance(story.ledger, Ledger)
    whole = story.ledger.balances("acme", story.now)
    assert [(one.scope.credit_type, one.scope.contract_id, one.scope.seat_id) for one in whole] == [
        ("credits", None, None), ("credits", "c", None), ("credits", "c", "ana"), ("credits", "c", "bo"),
        ("credits", "d", "ana"), ("tokens", "c", "ana"),
    ]  # fmt: skip
    for contract_id in (None, "c", "d"):
        for seat_id in (None, "ana", "bo"):
            for credit_type in (None, "credits", "tokens"):
                some = story.ledger.balances(
                    "acme", story.now, contract_id=contract_id, seat_id=seat_id, credit_type=credit_type
                )
                assert some == [
                    one
                    for one in whole
                    if contract_id in (None, one.scope.contract_id)
                    and seat_id in (None, one.scope.seat_id)
                    and credit_type in (None, one.scope.credit_type)
                ]


def test_a_curve_counts_what_was_burned_from_one_point_until_before_the_next() -> None:
    story = language_play("""
        contract c from 03-01
        subscription team seats ana
        grant mine 10 to seat ana
        burn 1 by ana at 03-02
        burn 2 by ana at 03-03
        burn 4 by ana at 03-04
        burn 8 by ana at 03-05
        burn 5 at 03-03
    """)
    scope = Scope(customer_id="acme", contract_id="c", seat_id="ana")

    curve = story.ledger.curve("acme", scope, [instant(f"2026-03-0{day}T00:00:00Z") for day in (1, 3, 5, 6)])

    said = [tuple(text(n) for n in (one.balance, one.granted, one.burned, one.overage)) for one in curve]
    assert said == [("10", "10", "0", "0"), ("9", "10", "1", "0"), ("3", "10", "6", "0"), ("0", "10", "3", "5")]


def test_a_seats_curve_goes_on_where_one_credit_ends_and_the_next_begins(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant first 10 to seat ana until 06-05
        grant second 10 to seat ana from 06-05
        burn 1 by ana at 06-02
        burn 2 by ana at 06-03
        burn 4 by ana at 06-06
        burn 1 by ana at 06-08
    """)

    assert story.curve("ana", "06-03", "06-04", "06-05", "06-07", "06-09") == ["9", "7", "10", "6", "5"]
    assert story.curve("ana") == []


def test_a_pools_curve_ends_with_what_is_left_once_a_debt_was_paid(play: Play) -> None:
    """L7."""
    story = play("""
        contract c carry from 06-01
        burn 4 by ana at 06-02
        grant late 10 from 06-05
    """)

    assert story.curve("pool", "06-04", "06-06") == ["0", "6"]


def test_a_balance_of_nobody_is_nothing() -> None:
    story = language_play("grant ours 10")
    nobody = Scope(customer_id="brook", contract_id="c", seat_id="ana")

    assert isinstance(story.ledger, Ledger)
    assert [each.balance for each in balances_of(story.ledger.book, nobody, [story.now, story.now + 1])] == [0, 0]


def test_what_a_pool_had_counts_who_began_to_draw_on_it_at_that_very_burn(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        grant ours 100
        grant own 5 to seat ana until 06-05
        burn 2 by ana at 06-02
        burn 3 by ana at 06-05
        burn 1 by bo at 06-07
        burn 1 by bo at 06-08
        burn 1 by bo at 06-09
    """)

    assert [story.balance("pool", at) for at in ("06-05", "06-06", "06-08")] == ["100", "97", "96"]


def test_a_seat_may_spend_from_its_contracts_first_instant_until_before_its_last(play: Play) -> None:
    story = play("""
        contract c from 03-01 until 04-01
        subscription team seats ana
        grant mine 5 to seat ana
        grant ours 3
        grant all 2 from 02-01 to customer
    """)

    assert not story.may_spend("ana", "1", "02-28")
    assert story.may_spend("ana", "10", "03-01") and not story.may_spend("ana", "11", "03-01")
    assert story.may_spend("pool", "5", "03-01") and not story.may_spend("pool", "6", "03-01")
    assert not story.may_spend("ana", "1", "04-01")


def test_who_sits_there_does_so_from_the_first_instant_until_before_the_last(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats ana price 10 billed P1M until 04-01
    """)

    assert story.seats(at="03-01") == story.seats(at="03-31") == "ana +0"
    assert story.seats(at="04-01") == story.seats(at="02-28") == "+0"
    assert story.charges("03-01") == ["period 1 x 1 = 10 at 2026-03-01"]
    assert story.charges("02-28") == []


def test_who_was_ever_given_anything_has_a_row_though_nothing_is_left_of_it(play: Play) -> None:
    story = play("""
        contract c from 06-01
        subscription team seats ana
        recurring monthly 100 per seat of team every P1M
        grant ours 5 to customer until 06-05
        grant pools 5 until 06-05
        move ana to di carrying at 06-10
        remove di at 06-15
        tick 08-02
    """)

    assert sorted(story.scopes()) == ["ana", "customer", "di", "pool"]


# --- burns that name no contract -------------------------------------------------------------------------------------


def test_a_burn_that_names_no_contract_means_the_one_that_holds_its_time(play: Play) -> None:
    story = play("""
        contract old from 01-01 until 03-01
        grant before 10
        contract new from 03-01
        grant after 10
        burn 1 anywhere at 02-28T23:59:59
        burn 2 anywhere at 03-01
    """)

    assert story.left() == {"after": "8"}
    assert "burned -1 before" in story.entries("pool")


def test_of_several_contracts_a_burn_means_the_one_where_its_seat_sits_then(play: Play) -> None:
    story = play("""
        contract one from 03-01
        subscription team seats ana bo
        grant mine 10 to seat ana
        contract two from 03-01
        subscription club seats bo from 03-05 until 03-10
        grant yours 10 to seat ana
        burn 1 by ana anywhere at 03-06
        burn 1 by bo anywhere at 03-04T23:00 id early
        burn 1 by bo anywhere at 03-05 id both
        burn 1 by bo anywhere at 03-10 id late
        burn 1 anywhere at 03-10 id nobody
    """)

    assert story.left("ana", on="one") == {"mine": "9"}
    assert story.refused() == {"both": "wait_over"}
    assert story.waiting() == ["nobody"]


def test_a_burn_that_no_contract_ever_holds_becomes_overage_of_the_nearest(play: Play) -> None:
    story = play("""
        contract one from 01-01 until 02-01
        contract two from 01-01 until 02-10
        contract next from 04-01 said 02-01
        burn 3 anywhere at 02-20
        tick 02-21
    """)

    assert [story.overage(on=name) for name in ("one", "two", "next")] == ["0", "3", "0"]


def test_a_burn_before_every_contract_becomes_overage_of_the_first(play: Play) -> None:
    story = play("""
        contract next from 04-01 said 02-01
        contract last from 05-01 said 02-01
        burn 3 anywhere at 02-20
        tick 02-21
    """)

    assert [story.overage(on=name) for name in ("next", "last")] == ["3", "0"]


# --- the whole account, line by line ---------------------------------------------------------------------------------


def test_all_that_happens_to_grants_is_in_the_account(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats ana
        grant once 10 to seat ana until 03-20
        grant set 10 to seat ana every P1W until 04-01
        grant kept 10 to seat ana rollover min 2 max 6
        burn 4 by ana at 03-02
        reset at 03-10
        adjust kept by 3 seat ana at 03-11
        adjust kept by -50 seat ana at 03-12
        adjust once by 5 seat ana at 03-21
        void kept at 03-16
        burn 25 by ana at 03-17
        tick 04-02
    """)

    assert story.entries("ana") == [
        "granted 10 kept", "granted 10 once", "granted 10 set",
        "burned -4 once",
        "forfeited -4 kept", "forfeited -6 once", "forfeited -10 set",
        "adjusted 3 kept",
        "adjusted -9 kept", "lapsed -41 kept",
        "lifted 10 set",
        "burned -10 set", "overage 15",
        "lapsed 5 once",
        "lifted 10 set",
        "expired -10 set",
    ]  # fmt: skip


def test_all_that_happens_to_debts_is_in_the_account(play: Play) -> None:
    story = play("""
        contract c carry from 03-01
        subscription team seats ana bo
        recurring weekly 10 per seat of team every P1W
        burn 14 by ana at 03-02
        move ana to cy carrying at 03-05
        burn 1 by cy at 03-06
        reset preserving overage at 03-07
        grant ours 3 at 03-09
        burn 4 at 03-10
        burn 18 by cy at 03-11
        reset at 03-12
        tick 03-13
    """)

    assert story.entries() == [
        "granted 10 weekly of ana", "granted 10 weekly of bo",
        "burned -10 weekly of ana", "overage 4 of ana",
        "moved_out -4 of ana", "moved_in 4 of cy",
        "overage 1 of cy",
        "expired -10 weekly of bo", "granted 10 weekly of bo", "granted 10 weekly of cy", "debt_paid -5 weekly of cy",
        "granted 3 ours",
        "burned -3 ours", "overage 1",
        "burned -5 weekly of cy", "overage 13 of cy",
        "debt_forgiven -1", "debt_forgiven -13 of cy",
    ]  # fmt: skip


def test_all_that_happens_with_seats_is_in_the_account(play: Play) -> None:
    story = play("""
        contract c from 03-01 until 03-20
        subscription team seats ana bo revoking
        recurring monthly 31 per seat of team every P1M
        recurring units 31 per unit of team every P1M
        remove ana at 03-11
        add ana and add cy and add di at 03-16
        adjust monthly by 1 seat bo at 03-17
        adjust units by -100 at 03-18
        burn 1 by bo at 03-25
        tick 03-26
    """)

    assert story.entries("pool") == ["granted 62 units", "granted 32 units", "adjusted -94 units", "lapsed -6 units"]
    assert story.entries("ana") == [
        "granted 31 monthly", "voided -31 monthly", "restored 31 monthly", "expired -31 monthly",
    ]  # fmt: skip
    assert story.entries("bo") == ["granted 31 monthly", "adjusted 1 monthly", "expired -32 monthly", "overage 1"]
    assert story.entries("cy") == story.entries("di") == ["granted 16 monthly", "expired -16 monthly"]


@pytest.mark.parametrize(
    ("at", "total", "extra", "paid", "pending"),
    [
        ("03-04", 0, 0, 0, 0),
        ("03-05", 5, 3, 5, 0),
        ("03-10", 3, 1, 5, 2),
        ("03-12", 8, 6, 8, 0),
        ("03-15", 6, 4, 8, 2),
        ("03-16", 0, 0, 8, 8),
        ("04-04", 0, 0, 8, 8),
        ("04-05", 0, 0, 0, 0),
    ],
)
def test_what_was_paid_for_stays_paid_until_its_period_is_over_also_past_the_end(
    play: Play, at: str, total: int, extra: int, paid: int, pending: int
) -> None:
    story = play("""
        contract c from 03-01
        subscription team quantity 5 included 2 from 03-05 until 03-16 billed P1M
        quantity 3 at 03-10
        quantity 8 at 03-12
        quantity 6 at 03-13
        subscription never quantity 5 from 03-05 until 03-05
    """)

    counts = story.counts(at=at)
    assert (counts.total, counts.extra, counts.paid, counts.pending_removals) == (total, extra, paid, pending)
    never = story.counts("never", at)
    assert (never.total, never.paid) == (0, 0)


@pytest.mark.parametrize(
    "line",
    [
        "add bo at {} said 03-01",
        "grant more 1 to seat ana from {}",
        "grant more 1 to seat ana until {}",
        "grant more 1 to seat ana until {} every P1Y",
        "grant more 1 from {}",
        "recurring more 1 per seat of team every P1Y from {}",
        "recurring more 1 per seat of team every P1Y until {}",
        "recurring more 1 per unit of team every P1Y until {}",
        "end team at {} said 03-01",
        "end contract at {} said 03-01",
        "move ana to bo carrying at {} said 03-01",
        "void own at {} said 03-01",
        "adjust own by 1 seat ana at {}",
    ],
)
def test_what_happens_a_microsecond_after_an_instant_is_due_after_it_and_once(play: Play, line: str) -> None:
    story = play(f"""
        contract c from 03-01
        subscription team seats ana billed P1Y
        grant own 10 to seat ana
        {line.format("03-09T00:00:00.000001")}
    """)

    assert story.refused() == {}
    if not line.startswith("adjust"):
        assert story.due("03-08") == story.due("03-09") == "2026-03-09T00:00:00.000001Z"
    assert story.due("03-09T00:00:00.000001") in (None, "2027-03-01")


def test_a_void_reaches_whoever_a_grant_was_carried_to_and_on_to(play: Play) -> None:
    story = play("""
        contract c from 03-01
        subscription team seats ana
        grant g 50 to seat ana
        move ana to cy carrying at 03-05
        move cy to di carrying at 03-07
        burn 5 by di at 03-08
        burn 5 by cy at 03-06
        void g at 03-09
        burn 3 by di at 03-10
    """)
    assert [story.overage(who) for who in ("cy", "di")] == ["0", "3"]
    assert story.balance("di", "03-09") == "0" and story.balance("di", "03-08T12:00") == "40"

    play_on(story, "void g at 03-06 said 03-11")
    assert [story.overage(who) for who in ("cy", "di")] == ["5", "8"]


# --- identities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", range(10))
@pytest.mark.parametrize(("time", "arrives"), [(0, 0), (0, 4), (1, 0)])
def test_an_id_is_remembered_for_the_bound_after_its_time_or_its_arrival_whichever_is_later(
    play: Play, shift: int, time: int, arrives: int
) -> None:
    story = play("contract c from 2026-01-01", lateness=10 * DAY)
    start = instant("2026-03-01T00:00:00Z") + shift * DAY
    burn = CreditBurn(id="b", customer_id="acme", time=start + time * DAY, contract_id="c", amount=UNIT)
    until = max(burn.time, start + arrives * DAY) + 10 * DAY

    first = story.ledger.fold(burn, start + arrives * DAY)
    assert isinstance(first, Folded)
    for at in (start + arrives * DAY, until - DAY, until):
        assert isinstance(story.ledger.fold(burn, at), Repeated)
    late = story.ledger.fold(burn, until + 1)
    assert isinstance(late, Refused) and late.refusal.code == "too_late"


def test_identities_leave_when_nobody_can_ask_for_them_again() -> None:
    """Of a burn: with their generation, and nothing of it stays for good."""
    rows = MemoryRows()
    start = instant("2026-01-01T00:00:00Z") // (10 * DAY) * 10 * DAY
    ledger = Ledger(rows, lateness=10 * DAY, ahead=DAY, wait=DAY)
    story = language_play("contract c from 2025-12-01 said 2026-01-01", ledger)
    burn = CreditBurn(id="known", customer_id="acme", time=start, contract_id="c", amount=UNIT)
    assert isinstance(story.ledger.fold(burn, start), Folded)
    ledger.flush()

    def left(now: Instant) -> list[bytes]:
        low, high = forgotten(now, 10 * DAY)
        found = (key for table in rows.tables for key, _ in rows.scan(table, b"", b"\xff"))
        keys = [key for key in found if key[:1] in (b"i", b"J") and key.endswith(b"known")]
        return [key for key in keys if not low <= key < high]

    assert (len(left(start + 30 * DAY - 1)), len(left(start + 30 * DAY))) == (1, 0)
    assert known_from(start + 30 * DAY - 1, 10 * DAY) == start
    assert known_from(start + 30 * DAY, 10 * DAY) == start + 10 * DAY


#: When a generation of identities begins, where the bound is ten days; and what lies around it.
EDGE = instant("2026-03-01T00:00:00Z") // (10 * DAY) * 10 * DAY
AROUND = [EDGE + more for more in (-5 * DAY, -25 * HOUR, -DAY - 1, -DAY, -HOUR, -1, 0, HOUR, DAY, 5 * DAY)]


@pytest.mark.parametrize("arrives", AROUND)
@pytest.mark.parametrize("before", AROUND[::3])
@pytest.mark.parametrize("ahead", [-HOUR, 0, HOUR, DAY])
def test_a_usual_burn_counts_once_whenever_it_came_and_whenever_it_comes_again(
    before: int, arrives: int, ahead: int
) -> None:
    """L4, D25: whatever came before it, and though append times now and then step back."""
    rows = MemoryRows()
    ledger = Ledger(rows, lateness=10 * DAY, ahead=DAY, wait=HOUR)
    language_play("contract c from 2026-01-01 said 2026-02-10\nburn 1 by ana at 2026-02-10 said 2026-02-10", ledger)

    def burn(id: str, time: Instant) -> CreditBurn:
        return CreditBurn(id=id, customer_id="acme", time=time, contract_id="c", seat_id="ana", amount=UNIT)

    known = burn("known", arrives + ahead)
    ledger.fold(burn("before", before - HOUR), before)
    assert isinstance(ledger.fold(known, arrives), Folded)
    until = max(arrives, known.time) + 10 * DAY
    again = [now for now in (*AROUND, until - DAY, until) if max(arrives, known.time) - DAY <= now <= until]
    for number, now in enumerate(again):
        ledger.fold(burn(f"between {number}", now), now)
        low, high = forgotten(now, 10 * DAY)
        for key, _ in list(rows.scan("trail", low, high)):
            rows.delete("trail", key)
        assert isinstance(ledger.fold(known, now), Repeated), now - EDGE

    low, high = forgotten(max(arrives, known.time) // (10 * DAY) * 10 * DAY + 30 * DAY, 10 * DAY)
    left = (key for table in ("state", "trail") for key, _ in rows.scan(table, b"", b"\xff"))
    assert not [key for key in left if key[:1] in (b"i", b"J") and key.endswith(b"known") and not low <= key < high]

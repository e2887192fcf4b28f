"""What lay before a customer's floor leaves, and nothing that is answered or refused afterwards shows it."""

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from ledger import account_rows, ageing, balances, entries, history
from ledger.amounts import UNIT
from ledger.contracts import CUSTOMER, customer_key
from ledger.facts import (
    AnyFact,
    BurnVoided,
    ContractCreated,
    ContractEnded,
    CreditBurn,
    CreditsGranted,
    CreditsVoided,
    Grant,
)
from ledger.identities import earliest_change
from ledger.instants import DAY, FOREVER, HOUR, ORIGIN, Instant, instant, text
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refused, Waiting
from tests.ledger.duel import gist
from tests.ledger.histories import HISTORY, History, draw_history
from tests.ledger.language import BOUNDS, Played, facts, play, play_on
from tests.ledger.memory import MemoryRows
from tests.ledger.test_ageing import by_day


@pytest.fixture(autouse=True)
def _short_eras(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (account_rows, ageing, balances):
        monkeypatch.setattr(module, "ERA", HOUR)


def go_on(ledger: Ledger, before: Instant, most: int) -> bool:
    """A step, as of an instant; whether more is to be done."""
    ledger.flush()
    ledger.horizon = ledger.closed_before = max(ledger.horizon, before // account_rows.ERA * account_rows.ERA)
    gone, more = ledger.age(most)
    drop(ledger, gone)
    return more


def drop(ledger: Ledger, gone: list[tuple[bytes, bytes]]) -> None:
    ledger.flush()
    rows = ledger.book.rows
    for low, high in gone:
        for key, _ in list(rows.scan("trail", low, high)):
            rows.delete("trail", key)


def aged(story: str) -> Played:
    """What a story comes to, once its burns have aged and before anything leaves."""
    played = play(story)
    ledger = ledger_of(played)
    ledger.flush()
    ledger.horizon = LONG_AGO
    drop(ledger, ageing.age(ledger.book, LONG_AGO, 1_000)[0])
    return played


def kept(ledger: Ledger) -> dict[str, int]:
    """How many rows there are: of burns, by scope and in order, and of stretches."""
    ledger.flush()
    found = {}
    for tag in "bxTY":
        found[tag] = sum(
            len(list(ledger.book.rows.scan(table, tag.encode(), tag.encode() + b"\xff")))
            for table in ("state", "trail")
        )
    return found


#: Contracts that ended before it, and of which nobody said so since, are closed in the stories.
LONG_AGO = instant("2026-06-01T00:00:00Z")


def left(story: str) -> Played:
    """What a story comes to, once all has left that may by `LONG_AGO`."""
    played = play(story)
    while go_on(ledger_of(played), LONG_AGO, 10_000):
        pass
    return played


def ledger_of(played: Played) -> Ledger:
    assert isinstance(played.ledger, Ledger)
    return played.ledger


def told(played: Played, *days: str) -> list[bool]:
    return [history.is_told(ledger_of(played).book, "acme", _at(day)) for day in days]


ENDED = """
    contract c from 2026-01-01 until 02-01
    grant pool 100
    recurring monthly 10 to pool every P1W
    grant own 50 to seat ana
    burn 1 at 01-03T10:00
    burn 2 at 01-10T10:00
    burn 4 by ana at 01-05T10:00
    burn 80 by ana at 01-20T10:00
"""


def test_of_a_contract_that_ended_long_ago_one_row_a_scope_is_left_and_what_it_came_to() -> None:
    before, played = play(ENDED), left(ENDED)

    assert kept(ledger_of(before))["b"] == kept(ledger_of(before))["x"] == 4
    assert kept(ledger_of(before))["T"] > 0 and kept(ledger_of(before))["Y"] > 0
    assert kept(ledger_of(played)) == {"b": 0, "x": 0, "T": 0, "Y": 0}
    for at in ("02-01", "02-02", "05-01"):
        assert played.ledger.balances("acme", _at(at)) == before.ledger.balances("acme", _at(at))
    assert [(each.scope.seat_id, each.overage) for each in played.ledger.balances("acme", _at("05-01"))] == [
        (None, 0),
        ("ana", 0),
    ]


def test_what_was_there_before_the_end_cannot_be_told_any_more() -> None:
    played = left(ENDED)

    assert told(played, "01-05", "01-31", "02-01") == [False, False, True]


def test_a_contract_that_goes_on_keeps_what_began_with_it() -> None:
    played = left(ENDED + "contract d from 2026-01-15\ngrant more 10 on d\nburn 1 at 01-16 on d\nburn 1 at 05-01 on d")

    assert kept(ledger_of(played))["b"] == 3
    assert told(played, "01-14", "01-15") == [False, True]


def test_a_contract_that_was_renewed_at_its_end_leaves_alone() -> None:
    story = (
        ENDED
        + """
        contract d from 2026-02-01
        grant more 10 on d
        grant hers 10 to seat ana on d
        burn 1 at 02-03T10:00 on d
        burn 2 by ana at 02-04T10:00 on d
    """
    )
    played = left(story)

    assert kept(ledger_of(played))["b"] == kept(ledger_of(played))["x"] == 2
    assert played.balance("pool", "02-05") == "9" and played.balance("ana", "02-05") == "8"
    assert play_on(played, "burn 20 by ana at 06-05 on d id late").paid("late") == ["8 of hers", "9 of more", "3 over"]


def test_nothing_changes_a_contract_that_is_closed() -> None:
    played = left(ENDED + "subscription team seats ana")

    play_on(
        played,
        """
        end contract at 2027-01-01 on c id longer said 06-20
        add bo at 06-20 on c id edit
        grant gift 5 at 06-20 on c id gift
        end monthly at 06-21 on c id monthly
        """,
    )

    assert played.refused() == dict.fromkeys(("longer", "edit", "gift", "monthly"), "too_late")
    assert _refusal(played, "gift").field == "contract_id"


def test_a_new_contract_may_begin_where_the_last_one_ended_and_not_before() -> None:
    played = left(ENDED)

    play_on(played, "contract d from 2026-01-31 said 06-20 id before\ncontract e from 2026-02-01 said 06-20 id renewal")

    assert played.refused() == {"before": "too_late"}
    assert _refusal(played, "before").field == "starting_at"
    play_on(played, "grant more 10 at 02-01 on e said 06-20\nburn 3 at 06-20 on e id b")
    assert played.paid("b") == ["3 of more"]


def test_an_end_that_was_said_lately_can_be_taken_back() -> None:
    story = """
        contract c from 2026-01-01
        grant pool 100
        burn 1 at 01-03T10:00
        end contract at 02-01 said 06-10
    """
    played = left(story)

    assert kept(ledger_of(played))["b"] == 1
    assert play_on(played, "end contract never on c said 06-20\nburn 3 at 06-20 id b").paid("b") == ["3 of pool"]


def test_what_is_given_to_the_customer_itself_keeps_what_began_with_it() -> None:
    played = left(
        "contract c from 2026-01-01 until 02-01\ngrant gift 9 to customer at 01-01\nburn 4 by ana at 01-03T10:00"
    )

    assert kept(ledger_of(played))["b"] == 1
    assert play_on(played, "contract d from 06-20\nburn 7 by ana at 06-20T01:00 id b").paid("b") == [
        "5 of gift",
        "2 over",
    ]


def test_a_burn_after_the_end_still_counts_and_one_taken_back_leaves_what_was_there() -> None:
    played = left(ENDED)
    was = played.ledger.balances("acme", _at("06-21"))

    play_on(played, "burn 3 by ana at 06-20T10:00 on c id b")
    assert played.paid("b") == ["3 over"]
    play_on(played, "take back b at 06-20T11:00")

    assert played.ledger.balances("acme", _at("06-21")) == was


def test_what_was_carried_leaves_once_nothing_of_it_can_be_burned() -> None:
    story = """
        contract c from 2026-01-01 until 02-01
        subscription team seats ana bo
        grant own 50 to seat ana
        burn 4 by ana at 01-05T10:00
        move ana to di carrying at 01-10
        burn 8 by di at 01-20T10:00
    """
    before, played = play(story), left(story)

    assert kept(ledger_of(before))["b"] == 2 and kept(ledger_of(played)) == {"b": 0, "x": 0, "T": 0, "Y": 0}
    assert played.ledger.balances("acme", _at("03-01")) == before.ledger.balances("acme", _at("03-01"))


def beside(story: str, more: str, *days: str) -> Played:
    """What a story and more come to where all that may has left before the more: the same at each day as where nothing did."""
    played, twin = left(story), play(story)
    ledger_of(twin).closed_before = ledger_of(twin).horizon = ledger_of(played).horizon
    play_on(played, more)
    play_on(twin, more)
    for day in days:
        assert played.ledger.balances("acme", _at(day)) == twin.ledger.balances("acme", _at(day)), day
    return played


def test_a_gift_to_the_customer_that_ended_long_ago_does_not_come_back_with_what_was_burned_of_it() -> None:
    played = left(
        """
        contract c from 2026-01-01 until 02-01
        grant gift 9 to customer at 01-01
        burn 4 by ana at 01-03T10:00
        void gift customer at 01-15
        """
    )

    play_on(played, "contract d from 06-20\nvoid gift customer at 2027-01-01 said 06-20 id longer")

    assert played.refused() == {"longer": "too_late"} and _refusal(played, "longer").field == "grant_id"
    assert played.balance("customer") == "0"


def test_a_gift_whose_void_was_said_lately_can_be_given_longer_and_keeps_what_began_with_it() -> None:
    played = beside(
        """
        contract c from 2026-01-01 until 02-01
        grant gift 9 to customer at 01-01
        burn 4 by ana at 01-03T10:00
        void gift customer at 01-15 said 06-10
        """,
        "contract d from 06-20\nvoid gift customer at 2027-01-01 said 06-20\nburn 3 by ana at 06-21",
        "06-20",
        "06-22",
    )

    assert played.balance("customer", "06-22") == "2"


def test_a_debt_that_was_carried_to_a_seat_that_burns_nothing_is_owed_there_after_all_has_left() -> None:
    played = beside(
        """
        contract c carry from 2026-01-01 until 02-01
        subscription team seats ana bo
        grant pool 1
        grant own 5 to seat ana
        burn 40 by ana at 01-05T10:00
        move ana to di carrying at 01-10
        move di to eva carrying at 01-11
        contract e from 2026-01-01 until 03-01
        grant pool 1
        burn 1 at 02-05 on e
        """,
        "burn 1 by di at 06-20 on c\nburn 1 by eva at 06-20 on c",
        "03-02",
        "06-21",
    )

    assert kept(ledger_of(played))["b"] == 2 and played.overage("eva", "03-02", on="c") == "34"


def test_an_end_before_the_start_of_a_contract_is_taken_back_and_nobody_else_has_less_overage() -> None:
    beside(
        """
        contract c from 2026-01-01 until 05-20
        grant gift 9 to customer at 05-15 until 05-30
        burn 4 at 05-03T10:00 on c
        burn 40 by ana at 05-13T10:00 on c
        contract d from 06-10 said 06-02
        grant own 5 to seat ana on d said 06-02
        end contract at 05-10 on d said 06-02
        burn 1 at 06-15 on c
        """,
        "end contract at 2027-01-01 on d said 06-21\nburn 1 by ana at 06-22 on d\nburn 1 at 06-22 on c",
        "06-01",
        "06-23",
    )


def test_a_new_contract_with_a_grant_from_long_ago_changes_nothing_before_the_floor() -> None:
    played = left(ENDED)
    grant = Grant(grant_id="old", amount=UNIT, effective_at=_at("01-05"))
    new = ContractCreated(
        id="new", customer_id="acme", contract_id="d", time=_at("06-20"), starting_at=_at("06-20"), grants=(grant,)
    )

    outcome = ledger_of(played).fold(new, _at("06-20"))

    assert isinstance(outcome, Folded)
    assert [one.since for one in outcome.changed] == [_at("02-01")]


@pytest.mark.parametrize("most", [2, 22, 60])
def test_who_begins_to_burn_between_two_steps_keeps_what_it_burned(most: int) -> None:
    story = """
        contract c from 2026-01-01 until 01-20
        burn 1 by ana at 01-10 on c
        burn 1 by bo at 01-10 on c
        burn 1 by cy at 01-10 on c
        contract e from 2026-01-01 until 02-01
        burn 1 by ana at 01-10 on e
    """
    played = aged(story)
    go_on(ledger_of(played), LONG_AGO, most)
    play_on(played, "burn 5 by al at 06-05 on c\ngrant gift 100 to customer at 06-10\nburn 1 by al at 06-11 on c")
    while go_on(ledger_of(played), LONG_AGO, 100):
        pass

    assert kept(ledger_of(played))["b"] == 2
    assert [played.overage("al", at, on="c") for at in ("06-06", "06-12")] == ["5", "6"]


def test_a_customer_who_comes_between_two_steps_takes_nobody_elses_turn() -> None:
    played = aged(ENDED)
    ledger = ledger_of(played)
    assert go_on(ledger, LONG_AGO, 3)
    new = ContractCreated(
        id="new", customer_id="aaron", contract_id="a", time=LONG_AGO, starting_at=LONG_AGO - 300 * DAY
    )
    assert isinstance(ledger.fold(new, LONG_AGO + 40 * DAY), Folded)
    while go_on(ledger, LONG_AGO, 10_000):
        pass

    assert kept(ledger) == {"b": 0, "x": 0, "T": 0, "Y": 0}


#: Of what c had, the floor cuts off what came before d.
BESIDE = """
    contract c from 2026-01-01 until 03-01
    contract d from 2026-02-01
"""


def test_what_a_pool_had_left_at_the_floor_it_has_there_still() -> None:
    played = beside(BESIDE + "grant pool 100 on c at 01-01\nburn 10 at 01-05 on c", "", "02-01", "02-02", "03-01")

    assert played.balance("pool", "02-02", on="c") == "90"
    assert kept(ledger_of(played))["b"] == kept(ledger_of(played))["Y"] == 0


def test_what_a_seat_had_left_at_the_floor_it_has_there_still() -> None:
    played = beside(
        BESIDE + "grant own 50 to seat ana on c at 01-01\nburn 4 by ana at 01-05 on c\nburn 1 by bo at 02-20 on d",
        "",
        "02-01",
        "02-02",
        "03-01",
    )

    assert played.balance("ana", "02-02", on="c") == "46"
    assert kept(ledger_of(played)) == {"b": 1, "x": 1, "T": 0, "Y": 0}


def test_what_a_pool_had_left_at_the_floor_it_has_until_something_happens_to_it() -> None:
    played = beside(
        BESIDE
        + """
        grant pool 100 on c at 01-01
        burn 10 at 01-05 on c
        grant more 5 on c at 02-10
        burn 1 at 02-11 on c
        """,
        "",
        "02-01",
        "02-02",
        "02-10",
        "03-01",
    )

    assert played.balance("pool", "02-02", on="c") == "90" and kept(ledger_of(played))["b"] == 1


@pytest.mark.parametrize(
    ("whose", "later"),
    [
        ("grant pool 100 on c at 01-01", "grant bos 1 to seat bo on c at 02-10\nburn 5 by bo at 02-20 on c"),
        ("grant own 100 to seat ana on c at 01-01", "burn 5 by ana at 02-20 on c"),
    ],
)
def test_burns_of_one_grant_on_both_sides_of_the_floor_stay(whose: str, later: str) -> None:
    played = beside(f"{BESIDE}{whose}\nburn 10 by ana at 01-05 on c\n{later}", "", "02-01", "02-21")

    assert kept(ledger_of(played))["b"] == 2


def test_what_was_carried_and_lasts_beyond_the_floor_keeps_what_it_came_from() -> None:
    played = left(
        """
        contract c from 2026-01-01 until 03-01
        subscription team seats ana
        grant own 50 to seat ana
        burn 4 by ana at 01-05
        move ana to bo carrying at 01-10
        contract d from 2026-02-01
        """
    )

    assert kept(ledger_of(played))["b"] == 1 and played.balance("bo", "02-02", on="c") == "46"


def test_a_debt_that_is_owed_at_the_floor_keeps_what_it_came_from_and_is_not_paid_twice() -> None:
    played = beside(
        """
        contract c carry from 2026-01-01 until 03-01
        burn 41 by ana at 01-05
        grant more 10 at 02-01
        """,
        "burn 1 by ana at 06-20 on c",
        "03-01",
        "06-21",
    )

    assert kept(ledger_of(played))["b"] == 2 and played.overage("ana", "03-01") == "31"


def test_a_debt_that_was_carried_once_is_owed_by_whoever_it_came_to() -> None:
    played = beside(
        """
        contract c carry from 2026-01-01 until 02-01
        subscription team seats ana
        grant pool 1
        burn 41 by ana at 01-05
        move ana to di carrying at 01-10
        contract e from 2026-01-01 until 03-01
        grant pool 1
        burn 1 at 02-05 on e
        """,
        "burn 1 by di at 06-20 on c",
        "03-02",
        "06-21",
    )

    assert kept(ledger_of(played))["b"] == 1 and played.overage("di", "03-02", on="c") == "40"


def test_who_burned_and_had_it_taken_back_has_no_row_after_all_has_left() -> None:
    played = beside(
        """
        contract c carry from 2026-01-01 until 02-01
        burn 5 by ana at 01-05 id b
        grant more 10 at 01-10
        burn 1 at 01-11
        take back b
        """,
        "",
        "02-01",
        "03-02",
    )

    assert played.scopes("03-02") == ["pool"]


def test_who_burned_only_behind_the_floor_has_a_row_before_the_first_burn_after_it() -> None:
    played = beside(
        BESIDE
        + """
        burn 1 by ana at 01-05 on c
        reset at 01-20 on c
        grant pool 5 on c at 01-31T23:59:59.999999
        burn 1 by ana at 02-01T10:00 on c
        """,
        "",
        "02-01",
        "02-02",
    )

    assert "ana" in played.scopes("02-01") and kept(ledger_of(played))["b"] == 1


def test_an_end_that_was_said_when_burns_aged_last_can_be_taken_back() -> None:
    played = left("contract c from 2026-01-01\nburn 1 at 01-03\nend contract at 02-01 said 06-01")

    assert kept(ledger_of(played))["b"] == 1
    assert play_on(played, "end contract never said 06-20").refused() == {}


def test_an_end_that_was_said_again_lately_can_be_taken_back() -> None:
    played = left(
        "contract c from 2026-01-01\nburn 1 at 01-03\nend contract at 02-01 said 01-20\nend contract at 02-01 said 06-10"
    )

    assert kept(ledger_of(played))["b"] == 1
    assert play_on(played, "end contract never said 06-20").refused() == {}


@pytest.mark.parametrize(
    "ended",
    [
        "grant gift 9 to customer at 01-01 until 06-01",
        "grant gift 9 to customer at 01-01\nvoid gift customer at 06-01 said 01-10",
        "grant gift 9 to customer at 01-01\nvoid gift customer at 01-15 said 06-01",
    ],
)
def test_a_gift_that_ended_when_burns_aged_last_keeps_what_began_with_it(ended: str) -> None:
    played = left(f"contract c from 2026-01-01 until 02-01\n{ended}\nburn 4 by ana at 01-03T10:00 on c")

    assert kept(ledger_of(played))["b"] == 1
    assert play_on(played, "void gift customer at 06-20").refused() == {}


def test_a_gift_that_expired_long_ago_keeps_nothing_and_is_not_voided_any_more() -> None:
    played = left(
        "contract c from 2026-01-01 until 02-01\ngrant gift 9 to customer at 01-01 until 05-01\nburn 4 by ana at 01-03T10:00"
    )

    assert kept(ledger_of(played))["b"] == 0
    play_on(played, "void gift customer at 06-20 id late")
    assert played.refused() == {"late": "too_late"} and _refusal(played, "late").field == "grant_id"


def test_a_gift_that_nobody_knows_is_waited_for_by_a_customer_with_a_floor_too() -> None:
    played = play_on(left(ENDED), "void gift customer at 06-20 id early")

    assert played.waiting() == ["early"]


#: Two contracts of which c ended long ago; credits of two types, of a pool and of seats.
MUCH = """
    contract c from 2026-01-01 until 03-01
    grant ours 100 at 01-01
    grant anas 50 to seat ana at 01-01
    grant bos 50 tokens to seat bo at 01-01
    burn 1 by ana at 01-03
    burn 60 by ana at 01-04
    burn 2 by bo at 01-05
    burn 3 tokens by bo at 01-06
    burn 4 tokens by cy at 01-07
    contract d from 2026-02-01
    grant more 10 at 02-01
    burn 1 by ana at 02-03 on d
"""


@pytest.mark.parametrize("most", [1, 2, 11, 20, 21, 22, 40])
def test_between_two_steps_every_answer_is_what_it_was(most: int) -> None:
    played, before = aged(MUCH), play(MUCH)
    days = [_at(day) for day in ("02-01", "02-02", "02-04", "03-01")]

    while go_on(ledger_of(played), LONG_AGO, most):
        for day in days:
            assert played.ledger.balances("acme", day) == before.ledger.balances("acme", day), text(day)

    assert kept(ledger_of(played)) == {"b": 1, "x": 1, "T": 0, "Y": 1}


def test_who_burns_between_two_steps_changes_nothing_of_what_leaves() -> None:
    played = aged("contract c from 2026-01-01 until 02-01\ngrant pool 9 at 01-01\nburn 1 at 01-03")
    go_on(ledger_of(played), LONG_AGO, 1)
    play_on(played, "burn 3 at 06-20")
    while go_on(ledger_of(played), LONG_AGO, 100):
        pass

    assert kept(ledger_of(played))["b"] == 1


def test_one_customer_leaves_after_the_other() -> None:
    ledger = Ledger(MemoryRows(), **BOUNDS)
    for fact, arrived_at in facts(ENDED):
        for name in ("acme", "brook"):
            ledger.fold(msgspec.structs.replace(fact, customer_id=name), arrived_at)
    while go_on(ledger, LONG_AGO, 10_000):
        pass

    assert kept(ledger) == {"b": 0, "x": 0, "T": 0, "Y": 0}


def test_a_step_looks_at_so_many_customers_and_no_more() -> None:
    breaths = []
    ledger = Ledger(MemoryRows(), lambda: breaths.append(1), **BOUNDS)
    for number in range(7):
        new = ContractCreated(id="new", customer_id=f"c{number}", contract_id="c", time=0, starting_at=0)
        ledger.fold(new, 0)
    steps = []
    for _ in range(3):
        ledger.flush()
        breaths.clear()
        steps.append((go_on(ledger, LONG_AGO, 3), len(breaths)))

    assert steps == [(True, 3), (True, 3), (False, 1)]
    assert not go_on(ledger, LONG_AGO, 1)


def test_a_step_has_few_scopes_begin_anew() -> None:
    story = "contract c from 2026-01-01 until 02-01\n" + "\n".join(f"burn 1 by s{seat} at 01-05" for seat in range(9))
    played = aged(story)
    steps = 0
    while kept(ledger_of(played))["b"] == 9:
        assert go_on(ledger_of(played), LONG_AGO, 41)
        steps += 1

    assert steps == 4


def test_nothing_stays_at_hand_of_a_customer_whose_past_leaves() -> None:
    played = play(ENDED + "contract d from 2026-02-01", most=1_000)
    ledger = ledger_of(played)
    ledger.flush()
    play_on(played, "\n".join(f"burn 1 by ana at 06-0{day} on d" for day in range(2, 8)))
    ledger.flush()
    assert ledger.book.staying
    while go_on(ledger, LONG_AGO, 23):
        assert not ledger.book.staying
        play_on(played, "burn 1 by ana at 06-20 on d")
        ledger.flush()

    assert kept(ledger)["b"] > 6 and played.overage("ana", "06-21", on="d") == str(kept(ledger)["b"])


def test_steps_are_as_small_as_they_are_asked_to_be() -> None:
    story = "contract c from 2026-01-01 until 02-01\ngrant pool 100\n" + "\n".join(
        f"burn 1 by s{seat} at 01-{day:02}T10:00" for day in range(2, 12) for seat in range(5)
    )
    played = play(story)
    ledger = ledger_of(played)
    while go_on(ledger, _at("02-01"), 10):
        pass
    counts = [kept(ledger)["b"]]
    while go_on(ledger, LONG_AGO, 10):
        counts.append(kept(ledger)["b"])

    assert max(was - now for was, now in pairwise(counts)) <= 10
    assert counts[-1] == 0 and len(counts) > 10
    assert not go_on(ledger, LONG_AGO, 10)


def _at(day: str) -> Instant:
    return instant(f"2026-{day}T00:00:00Z")


def _refusal(played: Played, id: str) -> Any:
    outcome = played.outcomes[id]
    assert isinstance(outcome, Refused)
    return outcome.refusal


def with_ends(facts: History, rng: random.Random) -> History:
    """The same facts, among which contracts end, and now and then a new one begins and is burned of."""
    drawn: History = []
    contracts: list[tuple[str, str]] = []
    gifts: list[tuple[str, str]] = []
    for number, (fact, arrived_at) in enumerate(facts):
        drawn.append((fact, arrived_at))
        if isinstance(fact, ContractCreated):
            contracts.append((fact.customer_id, fact.contract_id))
        if not contracts or rng.random() > 0.12:
            continue
        customer_id, contract_id = rng.choice(contracts)
        named: dict[str, Any] = {"customer_id": customer_id, "contract_id": contract_id}
        match rng.choice(("end", "end", "renew", "burn", "burn", "gift", "void", "void")):
            case "end":
                ends = ContractEnded(id=f"end-{number}", time=arrived_at, ending_before=arrived_at, **named)
                drawn.append((ends, arrived_at))
            case "renew":
                named["contract_id"] = f"renewed-{number}"
                since = arrived_at - rng.choice((0, 0, 1, 10)) * HOUR
                grant = Grant(grant_id="first", amount=20 * UNIT, effective_at=since)
                new = ContractCreated(id=f"new-{number}", time=arrived_at, starting_at=since, grants=(grant,), **named)
                drawn.append((new, arrived_at))
                contracts.append((customer_id, f"renewed-{number}"))
            case "gift":
                expires_at = rng.choice((FOREVER, FOREVER, arrived_at + 30 * HOUR))
                gift = Grant(
                    grant_id=f"gift-{len(gifts)}", amount=9 * UNIT, effective_at=arrived_at, expires_at=expires_at
                )
                gifts.append((customer_id, gift.grant_id))
                given = CreditsGranted(id=gift.grant_id, customer_id=customer_id, time=arrived_at, grant=gift)
                drawn.append((given, arrived_at))
            case "void":
                for of, gift_id in rng.sample(gifts, min(1, len(gifts))):
                    at = arrived_at + rng.choice((-HOUR, 0, 500 * DAY))
                    void = CreditsVoided(
                        id=f"void-{number}", customer_id=of, time=arrived_at, grant_id=gift_id, voided_at=at
                    )
                    drawn.append((void, arrived_at))
            case "burn":
                seat_id = rng.choice((None, "ana", "bo", f"aa-{number}", f"zz-{number}"))
                burn = CreditBurn(id=f"more-{number}", time=arrived_at, seat_id=seat_id, amount=3 * UNIT, **named)
                drawn.append((burn, arrived_at))
    return drawn


@pytest.mark.drawn
@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_is_answered_shows_what_has_left(seed: int) -> None:
    play_beside(seed)


@pytest.mark.drawn
def test_rows_do_leave_in_drawn_histories() -> None:
    assert any(play_beside(seed) for seed in range(40, 60))


def play_beside(seed: int) -> int:
    """A history in two ledgers, of which one lets go of what lies behind floors; in how many steps any stretch left."""
    rng = random.Random(seed)
    facts = with_ends(draw_history(rng, 60), rng)
    ledger, twin = Ledger(MemoryRows(), **HISTORY, most=1_000), Ledger(MemoryRows(), **HISTORY)
    burned_at = {fact.id: fact.time for fact, _ in facts if isinstance(fact, CreditBurn)}
    to_come = [fact for fact, _ in facts]
    left = 0
    for index, (fact, arrived_at) in enumerate(facts):
        settled = [*ledger.advance(arrived_at), *twin.advance(arrived_at)]
        outcome = ledger.fold(fact, arrived_at)
        beside = twin.fold(fact, arrived_at)
        assert gist(outcome) == gist(beside), fact
        assert changed_in(ledger, fact, outcome) == changed_in(ledger, fact, beside), fact
        settled += ledger.settled()
        for folded in [what for what, _ in settled] + ([] if isinstance(outcome, Waiting) else [fact]):
            if folded in to_come:
                to_come.remove(folded)
        if rng.random() < 0.3:
            # No burn, and nothing about one, is later than burns age; whatever else comes may reach as far back as it likes.
            first = [earliest_change(fact)[0] for fact in to_come if not isinstance(fact, ContractCreated)]
            first += [burned_at.get(fact.burn_id, arrived_at) for fact in to_come if isinstance(fact, BurnVoided)]
            was = kept(ledger)
            go_on(ledger, min(first, default=arrived_at), rng.choice((1, 30, 1_000)))
            left += was["T"] + was["Y"] > kept(ledger)["T"] + kept(ledger)["Y"]
            twin.flush()
            twin.horizon, twin.closed_before = ledger.horizon, ledger.closed_before
        if rng.random() < 0.15 or index == len(facts) - 1:
            must_agree(ledger, twin, facts[: index + 1], rng)
    return left


def changed_in(ledger: Ledger, fact: AnyFact, outcome: Outcome) -> set[Any]:
    """What an outcome names as changed, from the floor on. Who owes is named in case."""
    who = ledger.book.load(CUSTOMER, customer_key(fact.customer_id))
    if not isinstance(outcome, Folded) or who is None or any(brief.carry for brief in who.contracts):
        return set()
    return {msgspec.structs.replace(one, since=max(one.since, who.floor)) for one in outcome.changed}


def must_agree(ledger: Ledger, twin: Ledger, facts: History, rng: random.Random) -> None:
    instants = sorted({fact.time for fact, _ in facts})
    days = sorted({(at // DAY + more) * DAY for at in instants for more in (0, 1)})
    for customer_id in sorted({fact.customer_id for fact, _ in facts}):
        who = ledger.book.load(CUSTOMER, customer_key(customer_id))
        assert who is not None
        floors = [who.floor - 1, who.floor, who.floor + 1] if who.floor > ORIGIN else []
        for at in floors + rng.sample(instants, min(4, len(instants))) + rng.sample(days, min(4, len(days))):
            told = history.is_told(ledger.book, customer_id, at)
            assert not (told and at < who.floor)
            if told:
                assert ledger.balances(customer_id, at) == twin.balances(customer_id, at), text(at)
        until = rng.choice(days)
        look_closely(ledger, twin, customer_id, [at for at in [who.floor, *instants, *days] if at >= who.floor], rng)
        mine, theirs = (one.entries(customer_id, until - 1, since=who.floor) for one in (ledger, twin))
        assert by_day(mine) == by_day(theirs), text(until)


def look_closely(ledger: Ledger, twin: Ledger, customer_id: str, instants: list[Instant], rng: random.Random) -> None:
    """Everything else that can be asked of a customer from its floor on."""
    instants = sorted(rng.sample(instants, min(8, len(instants))))
    who = ledger.book.load(CUSTOMER, customer_key(customer_id))
    assert who is not None
    at = rng.choice(instants)
    assert ledger.next_due(customer_id, at) == twin.next_due(customer_id, at), text(at)
    assert ledger.charges(customer_id, at) == twin.charges(customer_id, at), text(at)
    for brief in who.contracts:
        counts = [one.counts(customer_id, brief.contract_id, at) for one in (ledger, twin)]
        assert counts[0] == counts[1], text(at)
    scopes = [one.scope for one in ledger.balances(customer_id, rng.choice(instants))]
    for scope in rng.sample(scopes, min(2, len(scopes))):
        if history.is_told(ledger.book, customer_id, at, scope):
            assert ledger.available(scope, at, 10 * UNIT) == twin.available(scope, at, 10 * UNIT), (scope, text(at))
        told = [each for each in instants if history.is_told(ledger.book, customer_id, each, scope)]
        mine, theirs = (list(history.balances_of(one.book, scope, told)) for one in (ledger, twin))
        assert mine == theirs, scope
        days = [each for each in told if each % DAY == 0]
        curves = [entries.curve(one.book, customer_id, scope, days, who.floor) for one in (ledger, twin)]
        assert curves[0] == curves[1], scope
        for payers in (False, True):
            lines = [
                entries.entries(one.book, customer_id, instants[-1], scope=scope, since=who.floor, payers=payers)
                for one in (ledger, twin)
            ]
            assert by_day(lines[0]) == by_day(lines[1]), scope

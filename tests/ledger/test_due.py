"""What happens by itself: when, and to whom (L17). Nothing is passed over, and who looks for it need not look at everyone."""

import random
from typing import Any

from ledger.answers import Balance
from ledger.instants import Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import Changed, EverySeat, Scope
from tests.ledger import language
from tests.ledger.histories import HISTORY, History
from tests.ledger.histories import play as play_history
from tests.ledger.memory import MemoryRows
from tests.ledger.test_laws import horizon, on_drawn_histories

#: How many due instants of a history are looked at.
MOST = 12


@on_drawn_histories(60)
def test_whatever_happens_by_itself_is_due_and_happens_to_whom_it_is_due(history: History, rng: random.Random) -> None:
    """Each entry, past or to come, that changes a balance and is no burn; each balance that is another than just before."""
    ledger = Ledger(MemoryRows(), **HISTORY)
    play_history(ledger, history)
    until = horizon(history)
    for customer_id in ledger.customers():
        instants = due(ledger, customer_id, history[0][1], until)
        for line in ledger.entries(customer_id, until):
            if line.type not in ("burned", "overage", "lapsed") and line.time > history[0][1]:
                assert line.time in instants, line
                assert line.scope in named(ledger, customer_id, line.time), line
        for at in rng.sample(sorted(instants), min(MOST, len(instants))):
            before, now = balances(ledger, customer_id, at - 1), balances(ledger, customer_id, at)
            different = {scope for scope in {*before, *now} if before.get(scope) != now.get(scope)}
            assert different <= named(ledger, customer_id, at), (at, different - named(ledger, customer_id, at))


def due(ledger: Ledger, customer_id: str, at: Instant, until: Instant) -> set[Instant]:
    found: set[Instant] = set()
    next_at = ledger.next_due(customer_id, at)
    while next_at is not None and next_at <= until:
        assert next_at > max(found, default=at)
        found.add(next_at)
        next_at = ledger.next_due(customer_id, next_at)
    return found


def named(ledger: Ledger, customer_id: str, at: Instant) -> set[Scope]:
    return {scope for one in ledger.whose_due(customer_id, at) for scope in ledger.scopes(customer_id, one)}


def balances(ledger: Ledger, customer_id: str, at: Instant) -> dict[Scope, Balance]:
    """But for what is a row only because a seat sits there."""
    return {one.scope: one for one in ledger.balances(customer_id, at) if one.grants or one.overage}


# --- by pencil -------------------------------------------------------------------------------------------------------


def test_whoever_something_happens_to_by_itself_is_named_and_nobody_else() -> None:
    story = language.play("""
        contract c from 06-01 until 09-03
        subscription team seats ana bo
        subscription staff seats cy from 06-05 until 06-28
        recurring monthly 10 per seat of team every P1M
        recurring brief 10 per seat of staff every P1M until 08-01
        recurring ai 10 per unit of team every P1M tokens
        grant gift 5 to seat ana from 06-10 until 06-20
        grant weekly 5 to seat bo every P1W from 06-02
        grant ours 5 from 06-11 until 06-21
        grant all 5 to customer from 06-12
        grant mine 5 tokens to seat cy from 06-13
        add dy in team at 06-15 said 06-02
        reset at 06-25
    """)

    days = ("06-03", "06-10", "06-20", "06-09", "06-11", "06-21", "06-12", "06-13", "06-15")
    assert {at: _whose(story, at) for at in days} == {
        "06-03": [], "06-10": ["ana"], "06-20": ["ana"], "06-09": ["bo"], "06-11": ["pool"], "06-21": ["pool"],
        "06-12": ["customer"], "06-13": ["cy tokens"], "06-15": ["dy", "pool tokens"],
    }  # fmt: skip
    assert {at: _whose(story, at) for at in ("06-05", "06-25", "06-28", "07-01", "08-01", "09-03")} == {
        "06-05": ["every one of staff"],
        "06-25": ["pool", "every one", "pool tokens", "every one tokens"],
        "06-28": ["every one of staff"],
        "07-01": ["every one of team", "every one of staff", "pool tokens"],
        "08-01": ["every one of team", "every one of staff", "pool tokens"],
        "09-03": ["every one", "pool tokens", "every one tokens"],
    }


def test_where_balances_are_carried_whoever_comes_and_leaves_is_named() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana
        grant gift 5 to seat ana
        move ana to di carrying at 06-10 said 06-02
        add ed at 06-12 said 06-02
        grant other 5 tokens from 06-20
    """)

    assert {at: _whose(story, at) for at in ("06-10", "06-12")} == {
        "06-10": ["ana", "di", "ana tokens", "di tokens"],
        "06-12": ["ed", "ed tokens"],
    }


def test_what_is_voided_later_on_and_what_goes_there_and_back_is_due_for_whoever_has_it() -> None:
    story = language.play("""
        contract c from 06-01
        subscription team seats ana bo
        recurring monthly 10 per seat of team every P1M
        grant gift 5 to seat ana
        void monthly slice 0 seat bo at 06-20 said 06-02
        void gift at 06-21 said 06-02
        move ana to di carrying and move di to ana carrying at 06-10 said 06-03
    """)

    assert {at: _whose(story, at) for at in ("06-09", "06-10", "06-20", "06-21")} == {
        "06-09": [],
        "06-10": ["ana", "di"],
        "06-20": ["bo"],
        "06-21": ["ana", "di"],
    }


def _whose(story: language.Played, at: str) -> list[str]:
    ledger: Any = story.ledger
    return [_named(one) for one in ledger.whose_due("acme", instant(f"2026-{at}T00:00:00Z"))]


def _named(one: Changed | EverySeat) -> str:
    if isinstance(one, EverySeat):
        name, credit_type = (
            f"every one{'' if one.subscription_id is None else f' of {one.subscription_id}'}",
            one.credit_type,
        )
    else:
        scope = one.scope
        name = "customer" if scope.contract_id is None else scope.seat_id or "pool"
        credit_type = scope.credit_type
    return name if credit_type == "credits" else f"{name} {credit_type}"

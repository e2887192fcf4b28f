"""What happens by itself: when, and to whom (L17). Nothing is passed over, and who looks for it need not look at everyone."""

import random

from ledger.answers import Balance
from ledger.instants import Instant
from ledger.ledger import Ledger
from ledger.outcome import Scope
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

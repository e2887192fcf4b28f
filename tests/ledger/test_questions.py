"""What a question costs: rows read, whatever else there is. Counted, so that it holds on any machine."""

import pytest

from ledger.instants import Instant, instant
from ledger.ledger import Ledger
from ledger.outcome import Scope
from tests.ledger.language import BOUNDS, play
from tests.ledger.memory import Counting

CUSTOMER = "acme"
NOW = instant("2026-03-16T09:00:00Z")


def crowded(seats: int, more: str = "") -> tuple[Ledger, Counting]:
    """A team that is given by the month, with a pool; everybody burned in January, one of them again in March."""
    rows = Counting()
    ledger = Ledger(rows, **BOUNDS)
    names = [f"seat-{n}" for n in range(seats)]
    burns = "\n".join(f"burn 1 by {name} at 01-02 id {name}" for name in names)
    play(
        f"""
        subscription team seats {" ".join(names)}
        recurring monthly 10 per seat of team every P1M
        recurring ours 100 per unit of team every P1M
        {burns}
        burn 1 by seat-3 at 03-16T08:00
        {more}
        """,
        ledger,
    )
    ledger.flush()
    return ledger, rows


def scope(seat_id: str | None) -> Scope:
    return Scope(customer_id=CUSTOMER, contract_id="c", seat_id=seat_id)


@pytest.mark.parametrize("seat_id", ["seat-3", "seat-4"])
@pytest.mark.parametrize("at", [NOW, instant("2026-01-20T00:00:00Z")])
def test_what_one_seat_has_costs_the_same_however_many_there_are(seat_id: str, at: Instant) -> None:
    """Also for a seat that burned long ago, and in rows that are as long."""
    costs = []
    for seats in (10, 1_000):
        ledger, rows = crowded(seats)
        rows.forget()
        [found] = ledger.balances(CUSTOMER, at, contract_id="c", seat_id=seat_id, credit_type="credits")
        assert found.granted == 10_000_000_000
        costs.append((rows.count, rows.size))
    (few, small), (many, large) = costs
    assert few == many < 20 and large < small + 100, costs

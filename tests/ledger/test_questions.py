"""What a question costs: rows read, whatever else there is. Counted, so that it holds on any machine."""

from unittest.mock import Mock

import pytest

from ledger import grants
from ledger.facts import CreditBurn
from ledger.history import nothing
from ledger.instants import Instant, instant, text
from ledger.ledger import Ledger
from ledger.outcome import Changed, EverySeat, Scope, Waiting
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


@pytest.mark.heavy
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


@pytest.mark.heavy
def test_one_scope_is_asked_for_directly() -> None:
    ledger, rows = crowded(1_000)
    [asked] = ledger.balances(CUSTOMER, NOW, contract_id="c", seat_id="seat-3", credit_type="credits")
    rows.forget()
    assert ledger.balance(scope("seat-3"), NOW) == asked
    assert ledger.balance(scope(None), NOW).granted == 100_000_000_000_000
    assert ledger.balance(scope("nobody"), NOW) == nothing(scope("nobody"))
    assert ledger.balance(Scope(customer_id=CUSTOMER, contract_id="other"), NOW).grants == ()
    assert ledger.balance(Scope(customer_id="nobody"), NOW).grants == ()
    assert rows.count < 60, rows.count


@pytest.mark.heavy
def test_what_is_due_next_costs_the_same_however_many_seats_there_are() -> None:
    """Also where seats have grants of their own: only the first of those that end is looked at."""
    costs = []
    for seats in (10, 1_000):
        grants = "\n".join(f"grant gift-{n} 5 to seat seat-{n} until 05-{n % 28 + 1:02}" for n in range(seats))
        ledger, rows = crowded(seats, grants)
        rows.forget()
        assert ledger.next_due(CUSTOMER, NOW) == instant("2026-04-01T00:00:00Z")
        assert ledger.next_due(CUSTOMER, instant("2026-04-02T00:00:00Z")) == instant("2026-05-01T00:00:00Z")
        costs.append(rows.count)
    assert costs[0] == costs[1] < 60, costs


@pytest.mark.heavy
def test_who_is_due_is_told_without_looking_at_everyone() -> None:
    ledger, rows = crowded(
        1_000, "grant gift 5 to seat seat-7 until 05-05 \n grant own 5 to seat seat-8 every P1W from 03-16"
    )
    for at, who in (("2026-05-05", ["seat-7"]), ("2026-03-23", ["seat-8"])):
        rows.forget()
        named = ledger.whose_due(CUSTOMER, instant(f"{at}T00:00:00Z"))
        assert [one.scope.seat_id for one in named if isinstance(one, Changed)] == who
        assert len(named) == 1 and rows.count < 60, rows.count
    rows.forget()
    first_of_month = ledger.whose_due(CUSTOMER, instant("2026-04-01T00:00:00Z"))
    assert [type(one) for one in first_of_month] == [Changed, EverySeat] and rows.count < 60, rows.count


def test_a_grant_that_was_voided_is_due_no_more() -> None:
    story = """
        subscription team seats ana
        grant own 5 to seat ana every P1W from 03-02
        void own at 03-20
    """
    due = []
    at: Instant | None = instant("2026-03-03T00:00:00Z")
    played = play(story)
    while (at := played.ledger.next_due(CUSTOMER, at or 0)) is not None and at < instant("2026-04-15T00:00:00Z"):
        due.append(text(at)[5:10])
    # And at the first of the month, with the billing period.
    assert due == ["03-09", "03-16", "03-20", "04-01"]


def test_when_a_wait_is_over_is_asked_of_one_row() -> None:
    ledger, rows = crowded(10)
    assert ledger.next_wait_over() is None
    for n in range(100):
        waits(ledger, f"burn-{n}")
    ledger.flush()
    rows.forget()
    assert ledger.next_wait_over() == NOW + BOUNDS["wait"]
    assert rows.count == 1
    assert not ledger.advance(NOW + BOUNDS["wait"])
    assert len(ledger.advance(NOW + BOUNDS["wait"] + 1)) == 100
    assert ledger.next_wait_over() is None


def waits(ledger: Ledger, id: str) -> None:
    """A burn of a contract that nobody knows."""
    fact = CreditBurn(id=id, customer_id=CUSTOMER, time=NOW, contract_id="unknown", amount=1)
    assert isinstance(ledger.fold(fact, NOW), Waiting)


@pytest.mark.heavy
def test_who_had_something_once_is_found_without_all_that_was_ever_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that was over was told after all slices of a hundred years had been derived, for each seat anew."""
    ledger = Ledger(Counting(), **BOUNDS)
    play(
        """
        contract c from 2026-01-01 until 2036-01-01
        subscription team seats ana bo
        recurring hourly 1 per seat of team every PT1H
        recurring ours 1 to pool every PT1H
        """,
        ledger,
    )
    derive = Mock(side_effect=grants.slice_amount)
    monkeypatch.setattr(grants, "slice_amount", derive)

    assert len(ledger.balances(CUSTOMER, instant("2036-02-01T00:00:00Z"))) == 3
    assert derive.call_count < 300

"""What one fact costs the publisher: rows read and written, however many seats its customer has."""

from typing import Any

import orjson
import pytest

from tests.ledger.memory import Counting
from tests.streams.test_bookkeeper import Desk, burn, contract

GRANT = {"grant_id": "gift", "contract_id": "c", "seat_id": "seat-3", "amount": "5"}
ADD = {"op": "add_seats", "seat_ids": ["new"], "starting_at": "2026-03-16T12:00:00Z"}
MOVE = {"op": "move_seat", "from_seat_id": "seat-3", "to_seat_id": "new", "starting_at": "2026-03-16T12:00:00Z"}


def crowded(seats: int) -> tuple[Desk, Counting]:
    """Everybody burned and was said."""
    desk = Desk()
    rows = desk.rows = Counting()
    names = [f"seat-{n}" for n in range(seats)]
    contract(desk, subscriptions=[{"subscription_id": "team", "mode": "seats", "seat_ids": names}])
    for name in names:
        burn(desk, name, "1", "2026-03-16T11:00:00Z", name)
    desk.at("2026-03-16T14:00:00Z").tick()
    return desk, rows


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("credit-burn", {"id": "b", "seat_id": "seat-3", "amount": "1", "time": "2026-03-16T13:00:00Z"}),
        ("credit-burn", {"id": "b", "seat_id": "seat-3", "amount": "1", "time": "2026-03-16T10:00:00Z"}),
        ("credit-burn", {"type": "burn.voided", "id": "v", "burn_id": "seat-3"}),
        ("contract-change", {"type": "credits.granted", "id": "g", **GRANT}),
        ("contract-change", {"type": "credits.granted", "id": "g", **GRANT, "expires_at": "2026-03-16T12:30:00Z"}),
        (
            "contract-change",
            {"type": "credits.granted", "id": "g", "contract_id": "c", "grant_id": "more", "amount": "5"},
        ),
        ("seat-change", {"id": "e", "contract_id": "c", "subscription_id": "team", "operations": [ADD]}),
        ("seat-change", {"id": "e", "contract_id": "c", "subscription_id": "team", "operations": [MOVE]}),
    ],
)
def test_a_fact_of_one_seat_or_of_a_pool_costs_the_same_however_many_seats_there_are(
    kind: str, fact: dict[str, Any]
) -> None:
    costs = []
    for seats in (10, 300):
        desk, rows = crowded(seats)
        rows.forget()
        said = desk.say(kind, **fact)
        costs.append((rows.count, len(said)))
    assert costs[0] == costs[1], costs
    assert costs[0][0] < 200, costs


def test_a_passing_instant_costs_what_is_due_then() -> None:
    """A grant of one seat expires: nobody else is looked at."""
    costs = []
    for seats in (10, 300):
        desk, rows = crowded(seats)
        desk.say("contract-change", type="credits.granted", id="g", **GRANT, expires_at="2026-03-17T00:00:00Z")
        rows.forget()
        said = desk.at("2026-03-17T01:00:00Z").tick()
        costs.append((rows.count, len(said)))
    assert costs[0] == costs[1] and costs[0][1] == 1 and costs[0][0] < 100, costs


def test_several_facts_about_all_seats_look_at_each_seat_once() -> None:
    costs = []
    for facts in (1, 5):
        desk, rows = crowded(100)
        end = {"type": "subscription.ended", "customer_id": "acme", "contract_id": "c", "subscription_id": "team"}
        records = [
            desk.record("contract-change", orjson.dumps(end | {"id": f"e{n}", "time": f"2026-03-16T13:0{n}:00Z"}))
            for n in range(facts)
        ]
        rows.forget()
        desk.fold(*records)
        costs.append(rows.count)
    assert costs[1] < costs[0] + 150, costs

"""A believable company or three: who they are, what they agreed, and what they do all day. For `seatstream demo`.

Everything is said as the wire says it. The same chance and the same clock tell the same story.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from ledger import instants
from ledger.instants import DAY, MINUTE, SECOND, Instant

_NAMES: Final = (
    "ana bo cleo dan eva finn gil hana ivo jun kai lea mia noa ola pia quin rui sol tia uma vic wen xia yan zoe "
    "ari bea cai dov ela fay gus hal ida jan kim lou max nia"
)
FIRST_NAMES: Final = _NAMES.split()

#: What somebody does with credits: its name, what it costs in hundredths, how often.
USES: Final = (("completion", 25, 60), ("review", 120, 25), ("image", 400, 10), ("video", 1_500, 1))


class Said(NamedTuple):
    """A message for an input topic, under a customer's or a rule's id, and what it is where that is worth a word."""

    topic: str
    key: str
    value: bytes
    note: str = ""


@dataclass
class Customer:
    """Who burns, and how much of the traffic is theirs."""

    customer_id: str
    plan: str
    weight: int
    seats: list[str] = field(default_factory=list)


class Company:
    """Three customers with some 200 seats: credits for each seat, a pool for all, and both."""

    def __init__(self, chance: random.Random, now: Instant) -> None:
        self._chance = chance
        self._number = 0
        self._joined = 0
        # They are in the middle of their month, so whoever joins gets a part of one.
        self._anchor = (now - 15 * DAY) // DAY * DAY
        self._opened = now
        self.customers = [
            Customer("aurora-design", "500 credits a seat and month", 4, _seats("aurora", 80)),
            Customer("boreal-bank", "1,000 credits a seat and month, pooled", 4, _seats("boreal", 80)),
            Customer("cobalt-games", "200 a seat, then a shared top-up", 2, _seats("cobalt", 40)),
        ]

    def opening(self) -> list[Said]:
        """The contracts, and the lines that somebody has drawn."""
        aurora, boreal, cobalt = self.customers
        expires_at = instants.text(self._opened + 25 * SECOND)
        return [
            self._contract(aurora, [_monthly("monthly", "individual", "500")]),
            self._contract(boreal, [_monthly("monthly", "pooled", "1000")]),
            self._contract(
                cobalt,
                [_monthly("monthly", "individual", "200")],
                [
                    {"grant_id": "top-up-1", "amount": "9000", "priority": 200},
                    # So that one is seen to end.
                    {"grant_id": "trial", "amount": "1500", "priority": 300, "expires_at": expires_at},
                ],
            ),
            self._rule(
                "low-seat", "balance_percent", "seat", ["75", "25", "0"], "a rule: seats at 75, 25 and 0 percent"
            ),
            self._rule(
                # The trial ends below the first level, the next top-up lifts the pool above it again.
                "low-pool",
                "balance",
                "pool",
                ["10000", "3000"],
                "a rule: the pool at 10,000 and 3,000",
                customer_id="cobalt-games",
            ),
        ]

    def burn(self, now: Instant) -> Said:
        """One of the hundreds a second."""
        customer = self._chance.choices(self.customers, [one.weight for one in self.customers])[0]
        return self._burn(customer, now)

    def news(self, now: Instant) -> Iterator[Said]:
        """Asked once a second: what else happens now and then."""
        second = (now - self._opened) // SECOND
        customer = self._chance.choice(self.customers)
        if second % 5 == 3:
            yield self._join(customer, now)
        if second % 13 == 7:
            yield self._leave(customer, now)
        if second % 17 == 5:
            operation = {"op": "add_unassigned_seats", "quantity": 3, "starting_at": instants.text(now + 10 * SECOND)}
            yield self._edit(customer, now, operation, "3 more seats, in 10 s")
        if second % 11 == 9:
            at = now - 10 * MINUTE
            yield self._burn(customer, at)._replace(note="a burn that comes 10 minutes late")
        if second % 40 == 39:
            yield self._top_up(self.customers[2], now)
        if second % 7 == 6:
            yield self._mistake(customer, now)

    # --- what they say ---

    def _contract(
        self, customer: Customer, recurring_credits: list[dict[str, Any]], grants: list[dict[str, Any]] | None = None
    ) -> Said:
        return self._said(
            "contract-change",
            customer,
            self._opened,
            {
                "type": "contract.created",
                "contract_id": "2026",
                "starting_at": instants.text(self._anchor),
                "subscriptions": [
                    {
                        "subscription_id": "team",
                        "feature_code": "seats",
                        "mode": "seats",
                        "seat_ids": customer.seats,
                        "unassigned_seats": 2,
                        "included_seats": len(customer.seats),
                        "unit_price": {"amount": "20", "currency": "EUR"},
                        "rounding": {"method": "half_up", "decimals": 2},
                    }
                ],
                "recurring_credits": recurring_credits,
                "grants": grants or [],
            },
            f"a contract: {len(customer.seats)} seats, {customer.plan}",
        )

    def _rule(self, rule_id: str, metric: str, scope: str, levels: list[str], note: str, **of: str) -> Said:
        held = {"rule_id": rule_id, "name": rule_id, "metric": metric, "scope": scope, "levels": levels} | of
        return Said("alert-rule", rule_id, orjson.dumps(held), note)

    def _burn(self, customer: Customer, at: Instant) -> Said:
        use, hundredths, _ = self._chance.choices(USES, [often for _, _, often in USES])[0]
        cost = hundredths * self._chance.randrange(80, 121)
        amount = f"{cost // 10_000}.{cost % 10_000:04d}"
        # Some work more than others.
        seat_id = customer.seats[int(len(customer.seats) * self._chance.random() ** 1.5)]
        return self._said(
            "credit-burn", customer, at, {"seat_id": seat_id, "amount": amount, "properties": {"use": use}}
        )

    def _join(self, customer: Customer, now: Instant) -> Said:
        self._joined += 1
        name = customer.customer_id.partition("-")[0]
        seat_id = f"{self._chance.choice(FIRST_NAMES)}-{self._joined}@{name}.example"
        customer.seats.append(seat_id)
        return self._edit(customer, now, {"op": "add_seats", "seat_ids": [seat_id]}, f"{seat_id} joins in mid-month")

    def _leave(self, customer: Customer, now: Instant) -> Said:
        seat_id = customer.seats.pop(self._chance.randrange(len(customer.seats)))
        return self._edit(customer, now, {"op": "remove_seats", "seat_ids": [seat_id]}, f"{seat_id} leaves")

    def _edit(self, customer: Customer, now: Instant, operation: dict[str, Any], note: str) -> Said:
        said = {"contract_id": "2026", "subscription_id": "team", "operations": [operation]}
        return self._said("seat-change", customer, now, said, note)

    def _top_up(self, customer: Customer, now: Instant) -> Said:
        grant = {
            "type": "credits.granted", "contract_id": "2026", "grant_id": f"top-up-{self._number}", "amount": "3000",
            "priority": 200,
        }  # fmt: skip
        return self._said("contract-change", customer, now, grant, "a top-up of 3,000 credits")

    def _mistake(self, customer: Customer, now: Instant) -> Said:
        """What must be refused, and disturb nobody."""
        seat_id = customer.seats[0]
        match self._chance.randrange(4):
            case 0:
                return Said("credit-burn", customer.customer_id, b'{"id": "run', "a message that is no JSON")
            case 1:
                burn = {"seat_id": seat_id, "amount": "0.12345678901"}
                return self._said("credit-burn", customer, now, burn, "an amount with 11 decimals")
            case 2:
                operation = {"op": "remove_unassigned_seats", "quantity": 500}
                return self._edit(customer, now, operation, "500 seats given back that nobody has")
            case _:
                burn = {"seat_id": seat_id, "amount": "1"}
                return self._said("credit-burn", customer, now - 60 * DAY, burn, "a burn of two months ago")

    def _said(self, topic: str, customer: Customer, at: Instant, held: dict[str, Any], note: str = "") -> Said:
        self._number += 1
        common = {"id": f"{topic[0]}-{self._number}", "customer_id": customer.customer_id, "time": instants.text(at)}
        return Said(topic, customer.customer_id, orjson.dumps(common | held), note)


def _monthly(recurring_credit_id: str, allocation: str, amount: str) -> dict[str, Any]:
    return {
        "recurring_credit_id": recurring_credit_id, "subscription_id": "team", "allocation": allocation,
        "amount": amount, "every": "P1M", "rounding": {"method": "half_up", "decimals": 2},
    }  # fmt: skip


def _seats(name: str, count: int) -> list[str]:
    names = len(FIRST_NAMES)
    return [f"{FIRST_NAMES[n % names]}{n // names or ''}@{name}.example" for n in range(count)]

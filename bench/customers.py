"""Customers, and burns of theirs as a producer would send them: made up, plausible, the same in every run."""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ledger.amounts import UNIT, Amount
from ledger.facts import AnyFact, ContractCreated, CreditBurn, Grant, RecurringCredit, SeatName, Subscription
from ledger.facts import CreditsGranted as Granted
from ledger.facts import Recurrence as Grid
from ledger.instants import DAY, FOREVER, SECOND, Every, Instant, instant
from wire.codec import write

CONTRACT = "2026"
MONTHLY = Every(1, "month")
#: When the contracts start, and when the burns that are measured do.
SIGNED, OPENED = instant("2026-01-01T00:00:00Z"), instant("2026-03-16T09:00:00Z")
PLENTY = 1_000_000 * UNIT


class Message(NamedTuple):
    """A burn on its way: its bytes, and when it arrives."""

    value: bytes
    arrived_at: Instant


def contract(
    customer_id: str,
    seat_ids: Sequence[str],
    *,
    monthly: Amount = 0,
    pool: Amount = 0,
    past: Sequence[Grant] = (),
    signed: Instant = SIGNED,
) -> ContractCreated:
    """A contract with these seats: so many credits a month for each of them, and a pool."""
    seats = Subscription(
        subscription_id="seats",
        mode="seats",
        starting_at=signed,
        billing_period=Grid(every=MONTHLY, anchor=signed),
        seat_ids=tuple(SeatName(seat_id=seat_id) for seat_id in seat_ids),
    )
    individual = RecurringCredit(
        recurring_credit_id="monthly",
        subscription_id="seats",
        allocation="individual",
        amount=monthly,
        every=MONTHLY,
        anchor=signed,
        starting_at=signed,
    )
    return ContractCreated(
        id=f"signed-{customer_id}",
        customer_id=customer_id,
        time=signed,
        contract_id=CONTRACT,
        starting_at=signed,
        subscriptions=(seats,),
        recurring_credits=(individual,) if monthly else (),
        grants=(*past, *((grant("pool", pool, since=signed),) if pool else ())),
    )


def grant(
    grant_id: str, amount: Amount, *, since: Instant, until: Instant = FOREVER, seat_id: str | None = None
) -> Grant:
    return Grant(
        grant_id=grant_id,
        contract_id=CONTRACT,
        seat_id=seat_id,
        amount=amount,
        priority=200 if seat_id is None else 100,
        effective_at=since,
        expires_at=until,
    )


def customer_id(number: int) -> str:
    return f"customer-{number:04d}"


def seat_id(customer: int, number: int) -> str:
    return f"seat{number}@customer{customer}.test"


def mixed(
    customers: int, seats: int, *, dry: bool, signed: Instant = SIGNED, opened: Instant = OPENED
) -> Iterator[AnyFact]:
    """Every second customer has 40 credits a month for each seat; all have a pool, every fourth a customer's pool too.
    With `dry`, the contract's pool of every other pair of customers is burned before the first seat burns."""
    for number in range(customers):
        name = customer_id(number)
        monthly = 40 * UNIT if number % 2 else 0
        is_dry = dry and number % 4 < 2
        pool = 5 * UNIT if is_dry else PLENTY
        yield contract(name, [seat_id(number, n) for n in range(seats)], monthly=monthly, pool=pool, signed=signed)
        if number % 4 == 2:
            own = Grant(grant_id="customer", amount=PLENTY, effective_at=signed, priority=300)
            yield Granted(id=f"own-{name}", customer_id=name, time=signed, grant=own)
        if is_dry:
            yield CreditBurn(
                id="emptied", customer_id=name, contract_id=CONTRACT, time=opened - SECOND, amount=5 * UNIT
            )


def burns(count: int, customers: int, seats: int, *, jitter: int = 0) -> list[Message]:
    """So many burns as bytes, one second apart within each customer on average; the first ones visit each seat once.
    With `jitter`, each comes up to so many seconds after it happened; without, in the order of time."""
    chance = random.Random(1)
    late = random.Random(2)
    first = [(customer, seat) for customer in range(customers) for seat in range(seats)]
    chance.shuffle(first)
    found = []
    for number in range(count):
        customer, seat = (
            first[number] if number < len(first) else (chance.randrange(customers), chance.randrange(seats))
        )
        time = OPENED + number * SECOND // customers
        fact = burn(
            f"run-{chance.getrandbits(64):016x}",
            customer,
            seat,
            time - time % 1000,
            chance.randint(1, 5_000) * UNIT // 1_000,
        )
        found.append(Message(write(fact), time + late.randrange(jitter * SECOND) if jitter else time))
    return sorted(found, key=lambda message: message.arrived_at)


def burn(id: str, customer: int, seat: int, time: Instant, amount: Amount) -> CreditBurn:
    return CreditBurn(
        id=id, customer_id=customer_id(customer), seat_id=seat_id(customer, seat), time=time, amount=amount
    )


def past_grants(count: int) -> list[Grant]:
    """Grants of customer 0's first seat and of its pool, a day each, all over before the burns that are measured."""
    days = [OPENED - (count - n + 1) * DAY for n in range(count)]
    return [
        grant(f"day-{n}", UNIT, since=day, until=day + DAY, seat_id=seat_id(0, 0) if n % 2 else None)
        for n, day in enumerate(days)
    ]

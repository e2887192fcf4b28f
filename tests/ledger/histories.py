"""Whole histories, drawn: every kind of fact, few ids, few instants, late, repeated, too early, refused.

`draw_history` writes a history as a source system would, keeping track of what exists so that most facts are
accepted, and then lets some of them arrive later than those that name them. The same function serves hypothesis
(`histories`), the long run by seeds, and whoever wants a sample. `play` plays a history through a model or an engine,
`shrink` makes a failing one small.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from hypothesis import strategies as st

from ledger.amounts import UNIT, Amount
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyFact,
    AnyOperation,
    BurnVoided,
    ChangeQuantity,
    ContractCreated,
    ContractEnded,
    ContractUpdated,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    MoveSeat,
    PeriodReset,
    Price,
    Recurrence,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditChanges,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    RemoveSeats,
    RemoveUnassignedSeats,
    Rollover,
    Rounding,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
    Subscription,
    SubscriptionAdded,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import DAY, FOREVER, HOUR, Every, Instant, Span, instant
from ledger.outcome import Outcome

History = list[tuple[AnyFact, Instant]]

#: The bounds that the histories are drawn for: some facts are late beyond them, some waits pass.
HISTORY: dict[str, Span] = {"lateness": 20 * DAY, "ahead": DAY, "wait": 2 * DAY}

SEATS = ("ana", "bo", "cy", "di")
TYPES = ("credits", "tokens")


class Ledger(Protocol):
    """What the model and the engine have in common, as far as playing goes."""

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome: ...
    def advance(self, now: Instant) -> list[tuple[AnyFact, Outcome]]: ...
    def settled(self) -> list[tuple[AnyFact, Outcome]]: ...


def histories(max_size: int = 40) -> st.SearchStrategy[History]:
    """Histories for hypothesis. The generator is handed one seed: see `shrink` for making a failing history small."""
    return st.builds(
        lambda seed, size: draw_history(random.Random(seed), size), st.integers(0, 2**32 - 1), st.integers(5, max_size)
    )


def play(ledger: Ledger, history: History) -> list[tuple[AnyFact, Outcome]]:
    """Plays a history: time passes to each arrival before the fact is folded. All that was decided, in order."""
    said: list[tuple[AnyFact, Outcome]] = []
    for fact, arrived_at in history:
        said += ledger.advance(arrived_at)
        said.append((fact, ledger.fold(fact, arrived_at)))
        said += ledger.settled()
    return said


def shrink(history: History, fails: Callable[[History], bool]) -> History:
    """A history that still fails and from which no fact can be taken (and no part of a fact, one at a time)."""
    size = max(1, len(history) // 2)
    while size:
        index, shorter = 0, history
        while index < len(shorter):
            candidate = shorter[:index] + shorter[index + size :]
            if fails(candidate):
                shorter = candidate
            else:
                index += size
        if len(shorter) == len(history) or size > 1:
            size //= 2
        history = shorter
    return _shrink_facts(history, fails)


def _shrink_facts(history: History, fails: Callable[[History], bool]) -> History:
    """Takes away items of what contracts bring along and of edits, and sets optional fields to their defaults."""
    again = True
    while again:
        again = False
        for index, (fact, arrived_at) in enumerate(history):
            for smaller in _smaller(fact):
                candidate = [*history[:index], (smaller, arrived_at), *history[index + 1 :]]
                if fails(candidate):
                    history, again = candidate, True
                    break
    return history


def _smaller(value: Any) -> list[Any]:
    """The same value with one item less somewhere, or one field at its default."""
    found: list[Any] = []
    for each in msgspec.structs.fields(value):
        now = getattr(value, each.name)
        if isinstance(now, tuple) and not isinstance(now, Every):
            for i, item in enumerate(now):
                found.append(msgspec.structs.replace(value, **{each.name: now[:i] + now[i + 1 :]}))
                if isinstance(item, msgspec.Struct):
                    for smaller in _smaller(item):
                        new = (*now[:i], smaller, *now[i + 1 :])
                        found.append(msgspec.structs.replace(value, **{each.name: new}))
        elif each.default is not msgspec.NODEFAULT and now != each.default:
            found.append(msgspec.structs.replace(value, **{each.name: each.default}))
        elif isinstance(now, (Subscription, RecurringCredit, Grant)):
            found += [msgspec.structs.replace(value, **{each.name: smaller}) for smaller in _smaller(now)]
    return found


# --- the generator ---------------------------------------------------------------------------------------------------


@dataclass
class Pace:
    """How coarse a history's grid is, and which periods fit it."""

    step: Span
    everies: tuple[Every, ...]


PACES = (
    Pace(HOUR, (Every(2, "hour"), Every(5, "hour"), Every(12, "hour"), Every(1, "day"))),
    Pace(12 * HOUR, (Every(1, "day"), Every(36, "hour"), Every(3, "day"), Every(1, "week"))),
    Pace(3 * DAY, (Every(1, "month"), Every(1, "week"), Every(2, "week"), Every(1, "month"))),
)


@dataclass
class DrawnSubscription:
    seats: bool
    assigned: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    unassigned: int = 0
    edits: int = 0
    code: str | None = None


@dataclass
class DrawnContract:
    customer_id: str
    contract_id: str
    starting_at: Instant
    subscriptions: dict[str, DrawnSubscription] = field(default_factory=dict)
    credits: dict[str, bool] = field(default_factory=dict)  # id: individual
    grants: dict[str, str | None] = field(default_factory=dict)  # id: seat


def draw_history(rng: random.Random, size: int) -> History:
    """About `size` facts in the order of their arrival."""
    return _Source(rng).history(size)


class _Source:
    """A source system with a memory of what it said, and a sloppy post."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pace = rng.choice(PACES)
        self.base = instant(rng.choice(("2026-01-31T00:00:00Z", "2024-01-31T00:00:00Z", "2026-03-31T12:00:00Z")))
        self.now = self.base
        self.marks: list[Instant] = [self.base]
        self.customers = ["acme"] if rng.random() < 0.7 else ["acme", "bolt"]
        self.contracts: list[DrawnContract] = []
        self.pool_grants: list[tuple[str, str]] = []
        self.burns: list[tuple[str, str]] = []
        self.said: list[AnyFact] = []
        self.number = 0

    def history(self, size: int) -> History:
        rng = self.rng
        drawn: History = []
        for customer_id in self.customers:
            drawn.append((self._contract_created(customer_id), self.now))
        while len(drawn) < size:
            self.now += rng.choice((0, 0, 0, 1, 1, 2)) * self.pace.step
            fact = self._fact()
            if fact is not None:
                self.said.append(fact)
                drawn.append((fact, self.now))
        return self._by_a_sloppy_post(drawn)

    def _by_a_sloppy_post(self, drawn: History) -> History:
        """Some facts arrive after those that were sent later; a few of them long after."""
        rng, count = self.rng, len(drawn)
        delayed = []
        for index, (fact, _) in enumerate(drawn):
            delay = rng.choice((1, 2, 3, 5, 10)) if rng.random() < 0.15 else 0
            if isinstance(fact, ContractCreated):
                delay = min(delay, 3)
            delayed.append((min(index + delay, count - 1), index, fact))
        delayed.sort(key=lambda each: each[:2])
        arrivals = [arrived_at for _, arrived_at in drawn]
        return [(fact, arrivals[index]) for index, (_, _, fact) in enumerate(delayed)]

    # --- little choices ---

    def _id(self, prefix: str) -> str:
        """Ids whose order is not the order of their making."""
        self.number += 1
        return f"{prefix}{self.rng.choice('abxyz')}{self.number}"

    def _at(self, back: int, ahead: int) -> Instant:
        """An instant near now, often one at which something happens anyway."""
        low, high = self.now - back * self.pace.step, self.now + ahead * self.pace.step
        if self.rng.random() < 0.4:
            near = [mark for mark in self.marks if low <= mark <= high]
            if near:
                return self.rng.choice(near)
        at = low + self.rng.randint(0, back + ahead) * self.pace.step
        if self.rng.random() < 0.04:
            at += self.rng.randint(1, 3_599) * 1_000_000  # off the grid, for exact fractions
        self.marks.append(at)
        return at

    def _mark_grid(self, every: Every, anchor: Instant) -> None:
        n = every.index(anchor, self.now)
        self.marks += [every.point(anchor, n + k) for k in range(-1, 5)]

    def _amount(self) -> Amount:
        return self.rng.choice((1, 1, 2, 3, 5, 7, 10, 10, 20)) * UNIT // self.rng.choice((1, 1, 1, 2, 4, 3))

    def _every(self) -> Every:
        return self.rng.choice(self.pace.everies)

    def _some(self, seats: tuple[str, ...] = SEATS, most: int = 3) -> tuple[SeatName, ...]:
        return tuple(
            SeatName(seat_id=seat) for seat in self.rng.sample(seats, self.rng.randint(1, min(most, len(seats))))
        )

    def _maybe(self, chance: float, value: Any, otherwise: Any = None) -> Any:
        return value if self.rng.random() < chance else otherwise

    def _time(self) -> Instant:
        """When a fact was submitted: mostly just now."""
        return self._at(2, 0) if self.rng.random() < 0.4 else self.now

    def _type(self) -> str:
        return self.rng.choice(("credits", "credits", "credits", "credits", "credits", "tokens"))

    # --- facts ---

    def _fact(self) -> AnyFact | None:
        rng = self.rng
        roll = rng.random()
        if self.said and roll < 0.05:
            return self._repeat()
        if roll < 0.08:
            if len(self.contracts) >= 3 or (self.number > 3 and rng.random() < 0.3):
                return self._contract_end()
            return self._contract_created(rng.choice(self.customers))
        if roll < 0.09:
            return self._astray()
        if roll < 0.13:
            return self._burn_voided()
        contract = rng.choice(self.contracts)
        if roll < 0.20:
            return self._granted(contract)
        if roll < 0.24:
            return self._voided(contract)
        if roll < 0.29:
            return self._adjusted(contract)
        if roll < 0.33:
            pool = self._maybe(0.25, True, False)
            return PeriodReset(
                id=self._id("r"),
                customer_id=contract.customer_id,
                time=self._at(4, 1),
                contract_id=None if pool else contract.contract_id,
                preserve_overage=rng.random() < 0.3,
            )
        if roll < 0.38:
            return self._recurring_credit_fact(contract)
        if roll < 0.43:
            return self._subscription_fact(contract)
        if roll < 0.65:
            return self._edit(contract)
        return self._burn(contract)

    def _repeat(self) -> AnyFact:
        """A fact once more, sometimes with another body, seldom under the id of another kind."""
        fact = self.rng.choice(self.said[-12:])
        if self.rng.random() < 0.3:
            if isinstance(fact, CreditBurn):
                return msgspec.structs.replace(fact, amount=fact.amount + UNIT)
            return msgspec.structs.replace(fact, time=fact.time - 1)
        return fact

    def _astray(self) -> AnyFact:
        """Names what never comes, or comes from too far away."""
        rng, customer_id = self.rng, self.rng.choice(self.customers)
        match rng.randint(0, 4):
            case 0:
                return self._burn_of(customer_id, rng.choice(("nowhere", None)), self.now - 400 * DAY)
            case 1:
                return self._burn_of(customer_id, None, self.now + 3 * DAY)
            case 2:
                id = self._id("v")
                return CreditsVoided(
                    id=id,
                    customer_id=customer_id,
                    time=self.now,
                    grant_id="nothing",
                    voided_at=self.now,
                    on_unknown="refuse",
                )
            case 3:
                contract = rng.choice(self.contracts)
                return SeatChange(
                    id=self._id("e"),
                    customer_id=contract.customer_id,
                    time=self.now,
                    contract_id=contract.contract_id,
                    subscription_id="nothing",
                    operations=(AddSeats(starting_at=self.now, seat_ids=self._some()),),
                )
            case _:
                return self._burn_of(customer_id, "nowhere", self.now)

    def _contract_created(self, customer_id: str) -> ContractCreated:
        rng = self.rng
        starting_at = self._at(6, 2)
        contract = DrawnContract(customer_id, f"c{len(self.contracts)}", starting_at)
        if self.contracts and rng.random() < 0.05:
            contract.contract_id = rng.choice(self.contracts).contract_id
        subscriptions = [self._subscription(contract, starting_at) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
        credits = [self._recurring_credit(contract, starting_at) for _ in range(rng.choice((0, 1, 1, 2, 2)))]
        grants = [self._grant(contract, starting_at) for _ in range(rng.choice((0, 1, 1, 2)))]
        self.contracts.append(contract)
        return ContractCreated(
            id=self._id("k"),
            customer_id=customer_id,
            time=self._time(),
            contract_id=contract.contract_id,
            starting_at=starting_at,
            ending_before=self._maybe(0.3, starting_at + rng.randint(4, 25) * self.pace.step, FOREVER),
            overage=rng.choice(("charge", "carry")),
            subscriptions=tuple(subscriptions),
            recurring_credits=tuple(credits),
            grants=tuple(grants),
        )

    def _contract_end(self) -> AnyFact:
        contract = self.rng.choice(self.contracts)
        common: dict[str, Any] = {
            "id": self._id("k"),
            "customer_id": contract.customer_id,
            "time": self._time(),
            "contract_id": contract.contract_id,
        }
        if self.rng.random() < 0.5:
            return ContractEnded(**common, ending_before=self._at(3, 6))
        return ContractUpdated(**common, ending_before=self.rng.choice((None, FOREVER, FOREVER, self._at(2, 8))))

    # --- subscriptions and seats ---

    def _subscription(self, contract: DrawnContract, starting_at: Instant) -> Subscription:
        rng = self.rng
        id = rng.choice(("s1", "s2", "s3", "s4")) if rng.random() < 0.15 else f"s{len(contract.subscriptions) + 1}"
        seats = rng.random() < 0.75
        names = self._some() if seats and rng.random() < 0.85 else ()
        unassigned = rng.choice((0, 0, 1, 2))
        drawn = DrawnSubscription(
            seats, {name.seat_id for name in names}, unassigned=unassigned, code=self._maybe(0.4, f"feature-{id}")
        )
        contract.subscriptions.setdefault(id, drawn)
        return Subscription(
            subscription_id=id,
            mode="seats" if seats else "quantity",
            starting_at=starting_at,
            ending_before=self._maybe(0.12, starting_at + rng.randint(2, 20) * self.pace.step, FOREVER),
            feature_code=drawn.code,
            quantity=0 if seats else unassigned,
            seat_ids=names,
            unassigned_seats=unassigned if seats else 0,
            seat_group_key=self._maybe(0.12, "user_id", "seat_id"),
            included_seats=rng.choice((None, 0, 1, 2)),
            minimum_seats=rng.choice((0, 0, 0, 2)),
            unit_price=self._maybe(0.7, Price(amount=self._amount(), currency="USD")),
            billing_period=Recurrence(every=self._every(), anchor=self._maybe(0.7, starting_at, self.base)),
            charge_increases=rng.choice(("now", "next_period")),
            prorate_charges=rng.random() < 0.7,
            rounding=self._rounding(),
            revoke_on_removal=rng.random() < 0.5,
        )

    def _rounding(self) -> Rounding:
        if self.rng.random() < 0.6:
            return Rounding()
        return Rounding(
            method=self.rng.choice(("half_up", "floor", "ceiling")), decimals=self.rng.choice((0, 0, 2, -1))
        )

    def _subscription_fact(self, contract: DrawnContract) -> AnyFact | None:
        rng = self.rng
        common: dict[str, Any] = {
            "customer_id": contract.customer_id,
            "time": self._time(),
            "contract_id": contract.contract_id,
        }
        if not contract.subscriptions or (rng.random() < 0.35 and len(contract.subscriptions) < 4):
            subscription = self._subscription(contract, self._at(4, 2))
            return SubscriptionAdded(**common, id=self._id("s"), subscription=subscription)
        id = rng.choice(sorted(contract.subscriptions))
        if rng.random() < 0.35:
            ending_before = self._maybe(0.3, FOREVER, self._at(3, 8))
            return SubscriptionEnded(**common, id=self._id("s"), subscription_id=id, ending_before=ending_before)
        drawn = contract.subscriptions[id]
        mode: Any = None
        if not drawn.seats and rng.random() < 0.5:
            mode, drawn.seats = "seats", True
        changes = SubscriptionChanges(
            mode=mode or self._maybe(0.04, "quantity"),
            seat_group_key=self._maybe(0.3 if mode else 0.05, "user_id"),
            included_seats=self._maybe(0.4, rng.randint(0, 3)),
            minimum_seats=self._maybe(0.3, rng.randint(0, 3)),
            unit_price=self._maybe(0.3, Price(amount=self._amount(), currency="USD")),
            charge_increases=self._maybe(0.3, rng.choice(("now", "next_period"))),
            prorate_charges=self._maybe(0.3, rng.random() < 0.5),
            billing_period=self._maybe(0.1, Recurrence(every=self._every(), anchor=self._at(2, 2))),
            revoke_on_removal=self._maybe(0.3, rng.random() < 0.6),
        )
        return SubscriptionUpdated(
            **common, id=self._id("s"), subscription_id=id, starting_at=self._at(4, 4), changes=changes
        )

    def _edit(self, contract: DrawnContract) -> AnyFact | None:
        rng = self.rng
        if not contract.subscriptions:
            return None
        ids = sorted(contract.subscriptions)
        id = rng.choice(ids)
        several = len(ids) > 1 and rng.random() < 0.2
        instants = [self._at(5, 4), self._at(5, 4)]
        operations = []
        named = {id}
        for _ in range(rng.choice((1, 1, 1, 2, 3, 0 if rng.random() < 0.2 else 1))):
            own = rng.choice(ids) if several else id
            named.add(own)
            operation = self._operation(contract.subscriptions[own], rng.choice(instants))
            if own != id:
                operation = msgspec.structs.replace(operation, subscription_id=own)
            operations.append(operation)
            if isinstance(operation, RemoveSeats) and rng.random() < 0.4:
                back_at = operation.starting_at + rng.randint(0, 3) * self.pace.step
                operations.append(
                    AddSeats(
                        starting_at=back_at, subscription_id=operation.subscription_id, seat_ids=operation.seat_ids
                    )
                )
                contract.subscriptions[own].assigned |= {name.seat_id for name in operation.seat_ids}
        drawn = contract.subscriptions[id]
        drawn.edits += 1
        by_code = drawn.code is not None and rng.random() < 0.3
        expected = {id: drawn.edits - 1} if rng.random() < 0.08 else None
        return SeatChange(
            id=self._id("e"),
            customer_id=contract.customer_id,
            time=self._time(),
            contract_id=self._maybe(0.85, contract.contract_id),
            subscription_id=None if by_code else id,
            feature_code=drawn.code if by_code else None,
            sequence=rng.choice((0, 0, 0, 1, 2)),
            operations=tuple(operations),
            expected_version=expected,
        )

    def _operation(self, drawn: DrawnSubscription, at: Instant) -> AnyOperation:
        rng = self.rng
        if not drawn.seats or rng.random() < 0.01:
            if rng.random() < 0.5:
                drawn.unassigned = rng.randint(0, 4)
                return SetQuantity(starting_at=at, quantity=drawn.unassigned)
            delta = rng.choice((1, 2, -1)) if drawn.unassigned else 1
            drawn.unassigned += delta
            return ChangeQuantity(starting_at=at, delta=delta)
        roll = rng.random()
        if roll < 0.30:
            names = self._some(most=2)
            if drawn.left and rng.random() < 0.6:
                names = (SeatName(seat_id=drawn.left.pop()),)
            drawn.assigned |= {name.seat_id for name in names}
            drawn.unassigned = max(0, drawn.unassigned - len(names))
            return AddSeats(starting_at=at, seat_ids=names)
        if roll < 0.52:
            names = self._some(tuple(sorted(drawn.assigned)), most=2) if drawn.assigned else self._some(most=2)
            drawn.assigned -= {name.seat_id for name in names}
            drawn.left += [name.seat_id for name in names]
            return RemoveSeats(starting_at=at, seat_ids=names)
        if roll < 0.77 and drawn.assigned and len(drawn.assigned) < len(SEATS):
            leaver = rng.choice(sorted(drawn.assigned))
            comer = rng.choice(sorted(set(SEATS) - drawn.assigned))
            drawn.assigned ^= {leaver, comer}
            return MoveSeat(starting_at=at, from_seat_id=leaver, to_seat_id=comer, carry_balance=rng.random() < 0.75)
        if roll < 0.87:
            names = self._some()
            drawn.assigned = {name.seat_id for name in names}
            return SetSeats(starting_at=at, seat_ids=names)
        if roll < 0.95 or not drawn.unassigned:
            quantity = rng.randint(1, 2)
            drawn.unassigned += quantity
            return AddUnassignedSeats(starting_at=at, quantity=quantity)
        drawn.unassigned -= 1
        return RemoveUnassignedSeats(starting_at=at, quantity=1)

    # --- credits ---

    def _recurring_credit(self, contract: DrawnContract, starting_at: Instant) -> RecurringCredit:
        rng = self.rng
        names = contract.grants.keys() | contract.credits.keys()
        id = f"g{len(names) + 1}" if rng.random() < 0.95 else f"g{rng.randint(1, 4)}"
        linked = self._maybe(0.85, rng.choice(sorted(contract.subscriptions))) if contract.subscriptions else None
        seats = linked is not None and contract.subscriptions[linked].seats
        individual = (seats and rng.random() < 0.7) or (linked is not None and rng.random() < 0.03)
        every = self._every()
        anchor = self._maybe(0.6, starting_at, self.base - rng.randint(0, 3) * self.pace.step)
        self._mark_grid(every, anchor)
        contract.credits.setdefault(id, individual)
        return RecurringCredit(
            recurring_credit_id=id,
            subscription_id=linked,
            allocation="individual" if individual else "pooled",
            credit_type=self._type(),
            amount=self._amount(),
            every=every,
            anchor=anchor,
            starting_at=starting_at,
            ending_before=self._maybe(0.2, starting_at + rng.randint(2, 20) * self.pace.step, FOREVER),
            duration_periods=rng.choice((1, 1, 1, 2, 3)),
            priority=rng.choice((1, 2, 3)),
            proration=rng.choice(("none", "first", "last", "first_and_last", "first_and_last")),
            prorate_increases=rng.random() < 0.7,
            rollover=self._rollover(0.3),
            rounding=self._rounding(),
        )

    def _rollover(self, chance: float) -> Rollover | None:
        low = self.rng.choice((0, 0, 1, 2)) * UNIT
        rollover = Rollover(min=low, max=self.rng.choice((None, low + 2 * UNIT, low + 5 * UNIT)))
        return rollover if self.rng.random() < chance else None

    def _recurring_credit_fact(self, contract: DrawnContract) -> AnyFact:
        rng = self.rng
        common: dict[str, Any] = {
            "customer_id": contract.customer_id,
            "time": self._time(),
            "contract_id": contract.contract_id,
        }
        if not contract.credits or rng.random() < 0.35:
            credit = self._recurring_credit(contract, self._at(4, 2))
            return RecurringCreditAdded(**common, id=self._id("p"), recurring_credit=credit)
        id = rng.choice(sorted(contract.credits))
        if rng.random() < 0.45:
            ending_before = self._maybe(0.2, FOREVER, self._at(3, 8))
            return RecurringCreditEnded(**common, id=self._id("p"), recurring_credit_id=id, ending_before=ending_before)
        changes = RecurringCreditChanges(
            amount=self._maybe(0.6, self._amount()),
            duration_periods=self._maybe(0.2, rng.randint(1, 3)),
            priority=self._maybe(0.3, rng.choice((1, 2, 3))),
            proration=self._maybe(0.2, rng.choice(("none", "first_and_last"))),
            prorate_increases=self._maybe(0.2, rng.random() < 0.5),
            rollover=self._rollover(0.2),
            rounding=self._maybe(0.2, self._rounding()),
        )
        return RecurringCreditUpdated(**common, id=self._id("p"), recurring_credit_id=id, changes=changes)

    def _grant(self, contract: DrawnContract | None, effective_at: Instant) -> Grant:
        rng = self.rng
        if contract is None:
            id = f"g{len(self.pool_grants) + 1}"
            seat_id = None
        else:
            names = contract.grants.keys() | contract.credits.keys()
            id = f"g{len(names) + 1}" if rng.random() < 0.95 else f"g{rng.randint(1, 4)}"
            seat_id = self._maybe(0.5, rng.choice(SEATS))
            contract.grants.setdefault(id, seat_id)
        every, anchor = self._every(), self._maybe(0.6, effective_at, self.base)
        recurs = rng.random() < 0.3
        if recurs:
            self._mark_grid(every, anchor)
        expires_at = self._maybe(0.7, effective_at + rng.randint(1, 15) * self.pace.step, FOREVER)
        if expires_at < FOREVER:
            self.marks.append(expires_at)
        return Grant(
            grant_id=id,
            contract_id=None if contract is None else contract.contract_id,
            seat_id=seat_id,
            seat_group_key="user_id" if seat_id is not None and rng.random() < 0.1 else "seat_id",
            credit_type=self._type(),
            amount=self._amount(),
            priority=rng.choice((1, 2, 3)),
            effective_at=effective_at,
            expires_at=expires_at,
            recurrence=Recurrence(every=every, anchor=anchor) if recurs else None,
            rollover=self._rollover(0.4),
            burn_class=self._maybe(0.15, "rolled_over", "standard"),
        )

    def _granted(self, contract: DrawnContract) -> CreditsGranted:
        pool = self.rng.random() < 0.2
        grant = self._grant(None if pool else contract, self._at(5, 3))
        if pool:
            self.pool_grants.append((contract.customer_id, grant.grant_id))
        return CreditsGranted(id=self._id("g"), customer_id=contract.customer_id, time=self._time(), grant=grant)

    def _which(self, contract: DrawnContract) -> tuple[str, str | None, str | None, bool] | None:
        """Some grant: its id, contract, a seat that it may be asked of, and whether it has slices."""
        pool = [id for customer_id, id in self.pool_grants if customer_id == contract.customer_id]
        if pool and self.rng.random() < 0.2:
            return self.rng.choice(pool), None, None, False
        names = sorted(contract.grants.keys() | contract.credits.keys())
        if not names:
            return None
        id = self.rng.choice(names)
        if id in contract.credits:
            return id, contract.contract_id, self.rng.choice(SEATS) if contract.credits[id] else None, True
        return id, contract.contract_id, self._maybe(0.3, contract.grants[id]), False

    def _voided(self, contract: DrawnContract) -> CreditsVoided | None:
        which = self._which(contract)
        if which is None:
            return None
        id, contract_id, seat_id, sliced = which
        return CreditsVoided(
            id=self._id("v"),
            customer_id=contract.customer_id,
            time=self._time(),
            grant_id=id,
            contract_id=contract_id,
            slice=self._maybe(0.4, self.rng.randint(0, 3)) if sliced else None,
            seat_id=self._maybe(0.6, seat_id),
            voided_at=self._at(3, 5),
        )

    def _adjusted(self, contract: DrawnContract) -> CreditsAdjusted | None:
        which = self._which(contract)
        if which is None:
            return None
        id, contract_id, seat_id, sliced = which
        return CreditsAdjusted(
            id=self._id("a"),
            customer_id=contract.customer_id,
            time=self._at(4, 1),
            grant_id=id,
            contract_id=contract_id,
            slice=self._maybe(0.3, self.rng.randint(0, 3)) if sliced else None,
            seat_id=self._maybe(0.95, seat_id),
            amount=self._amount() * self.rng.choice((1, -1, -1)),
            reason="goodwill",
        )

    # --- burns ---

    def _burn(self, contract: DrawnContract) -> CreditBurn:
        """Mostly of a seat that is assigned, mostly within the contract's window."""
        time = self._at(3, 0) if self.rng.random() < 0.9 else self._at(12, 1)
        if contract.starting_at <= self.now and self.rng.random() < 0.8:
            time = max(time, contract.starting_at)
        assigned = sorted(set().union(*(each.assigned for each in contract.subscriptions.values())))
        seat_id = self.rng.choice(assigned or SEATS) if self.rng.random() < 0.7 else self.rng.choice(SEATS)
        return self._burn_of(contract.customer_id, self._maybe(0.8, contract.contract_id), time, seat_id)

    def _burn_of(self, customer_id: str, contract_id: str | None, time: Instant, seat_id: str = "ana") -> CreditBurn:
        burn = CreditBurn(
            id=self._id("b"),
            customer_id=customer_id,
            time=time,
            contract_id=contract_id,
            seat_id=self._maybe(0.75, seat_id),
            seat_group_key=self._maybe(0.08, "user_id", "seat_id"),
            credit_type=self._type(),
            amount=self._amount() if self.rng.random() < 0.9 else 30 * UNIT,
        )
        self.burns.append((customer_id, burn.id))
        return burn

    def _burn_voided(self) -> BurnVoided | None:
        if not self.burns:
            return None
        customer_id, burn_id = self.rng.choice(self.burns[-15:])
        return BurnVoided(id=self._id("w"), customer_id=customer_id, time=self.now, burn_id=burn_id)

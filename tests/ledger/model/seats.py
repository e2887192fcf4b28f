"""Who sits where, when: the operations of one subscription folded from its beginning (L11)."""

from dataclasses import dataclass, field
from functools import lru_cache

from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyFact,
    AnyOperation,
    ChangeQuantity,
    MoveSeat,
    RemoveSeats,
    RemoveUnassignedSeats,
    SeatChange,
    SetQuantity,
    SetSeats,
)
from ledger.instants import Instant
from tests.ledger.model.known import QUANTITY_OPERATIONS, KnownSubscription

#: The order of one edit's operations at one instant (L11); quantity operations keep the order written.
_ORDER = {RemoveSeats: 0, RemoveUnassignedSeats: 1, AddSeats: 2, AddUnassignedSeats: 3, MoveSeat: 4, SetSeats: 5}


class Broken(Exception):
    """The operations break a rule of L11; `code` is the code of refusal."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Carry:
    """A move that takes the balance along (L11). `sequence` orders the moves of one instant."""

    subscription: KnownSubscription
    seat_group_key: str
    from_seat_id: str
    to_seat_id: str
    edit: SeatChange
    sequence: tuple[object, ...]


@dataclass
class Beneath:
    """The state after all operations of an instant, whether the subscription lives or not (D5)."""

    at: Instant
    assigned: frozenset[str]
    unassigned: int
    removed: dict[str, AnyFact] = field(default_factory=dict)  # who left by a removal, not by a move
    added: dict[str, AnyFact] = field(default_factory=dict)
    carries: list[Carry] = field(default_factory=list)


@dataclass(frozen=True)
class Sight:
    """What is to be seen from `at` on, and how it came about: within the subscription's life what lies beneath."""

    at: Instant
    assigned: frozenset[str]
    unassigned: int
    removed: dict[str, AnyFact]
    came: dict[str, AnyFact]
    carries: list[Carry]

    @property
    def total(self) -> int:
        return len(self.assigned) + self.unassigned


NOTHING = Sight(-(2**62), frozenset(), 0, {}, {}, [])


@lru_cache(maxsize=256)
def sights(subscription: KnownSubscription) -> list[Sight]:
    """The visible history of a subscription, one for each instant at which it may have changed."""
    start, end = subscription.life()
    if end <= start:
        return []
    states = fold(subscription)
    seen: list[Sight] = []
    before = NOTHING
    for at in sorted({start, end, *(state.at for state in states if start < state.at < end)}):
        if at == end:
            sight = Sight(at, frozenset(), 0, {}, {}, [])
        else:
            state = [state for state in states if state.at <= at][-1]
            happened = state if state.at == at else Beneath(at, state.assigned, state.unassigned)
            sight = Sight(
                at,
                state.assigned,
                state.unassigned,
                {seat: happened.removed[seat] for seat in sorted(before.assigned & happened.removed.keys())},
                {
                    seat: happened.added.get(seat, subscription.fact)
                    for seat in sorted(state.assigned - before.assigned)
                },
                happened.carries,
            )
        seen.append(sight)
        before = sight
    return seen


def at(seen: list[Sight], instant: Instant) -> Sight:
    """What is to be seen after all operations of that instant."""
    found = NOTHING
    for sight in seen:
        if sight.at > instant:
            break
        found = sight
    return found


def before(seen: list[Sight], instant: Instant) -> Sight:
    return at(seen, instant - 1)


def fold(subscription: KnownSubscription) -> list[Beneath]:
    """The states beneath the mask, first the initial one. Raises `Broken` where they break L11.

    A quantity is that many unassigned seats, so that a conversion to seats changes nothing (D8).
    """
    definition = subscription.definition
    if definition.mode == "seats":
        assigned, unassigned = {name.seat_id for name in definition.seat_ids}, definition.unassigned_seats
    else:
        assigned, unassigned = set(), definition.quantity
    states = [Beneath(-(2**62), frozenset(assigned), unassigned)]
    operations = sorted(subscription.operations, key=_order)
    for instant in sorted({operation.starting_at for _, _, operation in operations}):
        state = Beneath(instant, frozenset(), 0)
        for edit, index, operation in operations:
            if operation.starting_at == instant:
                unassigned = _apply(subscription, edit, index, operation, state, assigned, unassigned)
        if unassigned < 0:
            raise Broken("below_zero")
        state.assigned, state.unassigned = frozenset(assigned), unassigned
        state.removed = {seat: by for seat, by in state.removed.items() if seat not in assigned}
        states.append(state)
    return states


def _order(submitted: tuple[SeatChange, int, AnyOperation]) -> tuple[object, ...]:
    """`time`, `sequence`, `id` of the edit, then the order within it; at a conversion quantities come first (D8)."""
    edit, index, operation = submitted
    by_seat = not isinstance(operation, QUANTITY_OPERATIONS)
    return (operation.starting_at, by_seat, edit.time, edit.sequence, edit.id, _ORDER.get(type(operation), 0), index)


def _apply(
    subscription: KnownSubscription,
    edit: SeatChange,
    index: int,
    operation: AnyOperation,
    state: Beneath,
    assigned: set[str],
    unassigned: int,
) -> int:
    """Applies one operation to `assigned`, notes in `state` how it went, and returns what is unassigned then."""

    def add(seat_ids: list[str]) -> None:
        nonlocal unassigned
        for seat_id in seat_ids:
            if seat_id not in assigned:
                assigned.add(seat_id)
                state.added[seat_id] = edit
                if unassigned > 0:
                    unassigned -= 1

    def remove(seat_ids: list[str]) -> None:
        for seat_id in seat_ids:
            if seat_id in assigned:
                assigned.discard(seat_id)
                state.removed[seat_id] = edit

    match operation:
        case SetQuantity():
            unassigned = operation.quantity
        case ChangeQuantity():
            unassigned += operation.delta
        case AddSeats():
            add([name.seat_id for name in operation.seat_ids])
        case RemoveSeats():
            remove([name.seat_id for name in operation.seat_ids])
        case SetSeats():
            listed = [name.seat_id for name in operation.seat_ids]
            remove(sorted(assigned - set(listed)))
            add(listed)
        case AddUnassignedSeats():
            unassigned += operation.quantity
        case RemoveUnassignedSeats():
            unassigned -= operation.quantity
        case MoveSeat(from_seat_id=leaver, to_seat_id=comer):
            if leaver == comer:
                raise Broken("already_assigned")
            if leaver not in assigned:
                raise Broken("not_assigned")
            if comer in assigned:
                raise Broken("already_assigned")
            assigned.discard(leaver)
            state.removed.pop(leaver, None)  # it leaves by a move now, and a move never revokes (D6)
            assigned.add(comer)
            state.added[comer] = edit
            if operation.carry_balance:
                key = subscription.seat_group_key
                sequence = _order((edit, index, operation))
                state.carries.append(Carry(subscription, key, leaver, comer, edit, sequence))
    return unassigned

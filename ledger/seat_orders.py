"""What one edit asks of each subscription that it names, before anything is folded (L11)."""

from typing import NamedTuple

from ledger import instants
from ledger.contracts import ContractRow, SubscriptionRow
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
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
from ledger.outcome import Refusal
from ledger.seat_rows import BY_QUANTITY, BY_SEAT, Operation, OperationsRow, Place

#: The operations of one edit at one instant apply in this order; those of one kind in the order written (L11).
_TURN = {
    "remove_seats": 0,
    "remove_unassigned_seats": 1,
    "add_seats": 2,
    "add_unassigned_seats": 3,
    "move_seat": 4,
    "set_seats": 5,
}


class Order(NamedTuple):
    """What an edit asks of one subscription, each operation with its place in the edit; `names`: what it called it."""

    subscription: SubscriptionRow
    names: set[str]
    operations: list[tuple[int, AnyOperation]]

    def rows(self, fact: SeatChange) -> list[OperationsRow]:
        """A row for each instant, in L11's order."""
        rows: dict[tuple[Instant, int], OperationsRow] = {}
        for index, operation in self.operations:
            at = operation.starting_at, _phase(operation)
            row = rows.get(at)
            if row is None:
                row = rows[at] = OperationsRow(*place(fact, operation), [])
            row.operations.append(_plain(index, operation))
        for row in rows.values():
            if row.phase == BY_SEAT and len(row.operations) > 1:
                row.operations.sort(key=lambda plain: _TURN[plain.op])
        return sorted(rows.values(), key=lambda row: row.place)

    def wrong_mode(self, converted_at: Instant | None) -> Refusal | None:
        """Quantities are for a subscription of mode quantity, before its conversion; seats for one of mode seats, from
        its conversion on (D8)."""
        for index, operation in self.operations:
            converted = converted_at is not None and operation.starting_at >= converted_at
            phase = BY_SEAT if converted or self.subscription.given.mode == "seats" else BY_QUANTITY
            if _phase(operation) != phase:
                mode = "seats" if phase == BY_SEAT else "quantity"
                return Refusal(
                    code="wrong_mode",
                    field=f"operations[{index}].op",
                    message=f"subscription {self.subscription.subscription_id} is of mode {mode}"
                    f" at {instants.text(operation.starting_at)}",
                    law="L11",
                )
        return None


def asked_of(contract: ContractRow, fact: SeatChange) -> list[Order] | Refusal:
    """What is asked of each subscription, in the order in which they are named first."""
    found: dict[int, Order] = {}
    for index, operation in enumerate(fact.operations):
        own = operation.subscription_id is not None or operation.feature_code is not None
        names, path = (operation, f"operations[{index}].") if own else (fact, "")
        order = _named(contract, found, names.subscription_id, names.feature_code, operation.starting_at, path)
        if isinstance(order, Refusal):
            return order
        order.operations.append((index, operation))
    if not fact.operations:
        order = _named(contract, found, fact.subscription_id, fact.feature_code, fact.time, "")
        if isinstance(order, Refusal):
            return order
    return list(found.values())


def _named(
    contract: ContractRow,
    found: dict[int, Order],
    subscription_id: str | None,
    feature_code: str | None,
    at: Instant,
    path: str,
) -> Order | Refusal:
    subscription = contract.subscription(subscription_id, feature_code, at)
    if subscription is not None:
        order = found.setdefault(subscription.number, Order(subscription, set(), []))
        order.names.add(subscription_id or feature_code or "")
        return order
    if subscription_id is not None:
        return _unknown(f"{path}subscription_id", subscription_id, contract)
    if feature_code is not None:
        return _unknown(f"{path}feature_code", f"with the feature code {feature_code}", contract)
    return Refusal(code="missing_field", field=f"{path}subscription_id", message="the edit names no subscription")


def _unknown(field: str, which: str, contract: ContractRow) -> Refusal:
    message = f"contract {contract.contract_id} has no subscription {which}"
    return Refusal(code="unknown_subscription", field=field, message=message)


def stale(contract: ContractRow, fact: SeatChange, asked: list[Order]) -> Refusal | None:
    """An edit that expects another version than the subscription's is refused (D9)."""
    for name, expected in (fact.expected_version or {}).items():
        subscription = next((order.subscription for order in asked if name in order.names), None)
        subscription = (
            subscription or contract.subscription(name, None, fact.time) or contract.subscription(None, name, fact.time)
        )
        if subscription is None:
            return _unknown(f"expected_version.{name}", name, contract)
        if subscription.version != expected:
            return Refusal(
                code="version_stale",
                field="expected_version",
                message=f"subscription {name} is at version {subscription.version}, not at {expected}",
                law="L11",
                details={"current": subscription.version, "requested": expected},
            )
    return None


def _phase(operation: AnyOperation) -> int:
    return BY_QUANTITY if isinstance(operation, SetQuantity | ChangeQuantity) else BY_SEAT


def place(fact: SeatChange, operation: AnyOperation) -> Place:
    """Where an operation of an edit stands (L11)."""
    return operation.starting_at, _phase(operation), fact.time, _bounded(fact.sequence), fact.id


def _bounded(sequence: int) -> int:
    """Beyond 64 bits all are alike, so that any integer has a key."""
    return max(-(2**63), min(2**63 - 1, sequence))


def _plain(index: int, operation: AnyOperation) -> Operation:
    match operation:
        case AddSeats(seat_ids=seats):
            return Operation("add_seats", index, [seat.seat_id for seat in seats])
        case RemoveSeats(seat_ids=seats):
            return Operation("remove_seats", index, [seat.seat_id for seat in seats])
        case SetSeats(seat_ids=seats):
            return Operation("set_seats", index, [seat.seat_id for seat in seats])
        case MoveSeat(from_seat_id=source, to_seat_id=target, carry_balance=carry):
            return Operation("move_seat", index, [source, target], carry_balance=carry)
        case AddUnassignedSeats(quantity=quantity):
            return Operation("add_unassigned_seats", index, quantity=quantity)
        case RemoveUnassignedSeats(quantity=quantity):
            return Operation("remove_unassigned_seats", index, quantity=quantity)
        case SetQuantity(quantity=quantity):
            return Operation("set_quantity", index, quantity=quantity)
        case ChangeQuantity(delta=delta):
            return Operation("change_quantity", index, quantity=delta)

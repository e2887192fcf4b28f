"""Facts of `seat-change`: edits and their operations."""

from typing import Any, Final

from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyOperation,
    ChangeQuantity,
    MoveSeat,
    RemoveSeats,
    RemoveUnassignedSeats,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
)
from ledger.instants import Instant
from wire.fields import QUANTITY_MOST, SEQUENCE_MOST, Common, Fields

OPERATIONS_MOST: Final = 100
SEATS_MOST: Final = 10_000

OPERATIONS: Final = (
    "set_quantity",
    "change_quantity",
    "add_seats",
    "remove_seats",
    "move_seat",
    "set_seats",
    "add_unassigned_seats",
    "remove_unassigned_seats",
)


def seat_change(fields: Fields, common: Common) -> SeatChange:
    fields.maybe_choice("type", ("seat.changed",))
    subscription_id, feature_code = fields.maybe_text("subscription_id"), fields.maybe_text("feature_code")
    named = subscription_id or feature_code
    held_operations = fields.objects("operations", OPERATIONS_MOST, needed=True)
    operations = tuple(_operation(held, common["time"], named) for held in held_operations)
    if not operations and named is None:
        raise fields.refuse("missing_field", "subscription_id", "is missing; give it, or a `feature_code`")
    seats = sum(len(operation.seat_ids) for operation in operations if isinstance(operation, _OF_SEATS))
    if seats > SEATS_MOST:
        raise fields.refuse(
            "too_large", "operations", f"hold {seats:,} seat ids; send at most {SEATS_MOST:,} in one edit"
        )
    return SeatChange(
        **common,
        contract_id=fields.maybe_text("contract_id"),
        subscription_id=subscription_id,
        feature_code=feature_code,
        sequence=fields.maybe_integer("sequence", -SEQUENCE_MOST - 1, SEQUENCE_MOST) or 0,
        operations=operations,
        expected_version=_expected_version(fields, named, operations),
    )


def seat_names(fields: Fields, name: str, needed: bool = False) -> tuple[SeatName, ...]:
    """Seats, each as its id or as `{seat_id, name?, email?}`."""
    return tuple(_seat_name(held) for held in fields.ids_or_objects(name, SEATS_MOST, needed=needed))


def _seat_name(held: str | Fields) -> SeatName:
    if isinstance(held, str):
        return SeatName(seat_id=held)
    return SeatName(seat_id=held.text("seat_id"), name=held.maybe_label("name"), email=held.maybe_label("email"))


_OF_SEATS = (AddSeats, RemoveSeats, SetSeats)


def _operation(fields: Fields, time: Instant, named: str | None) -> AnyOperation:
    op = fields.choice("op", OPERATIONS)
    starting_at = fields.maybe_instant("starting_at")
    where: dict[str, Any] = {
        "starting_at": time if starting_at is None else starting_at,
        "subscription_id": fields.maybe_text("subscription_id"),
        "feature_code": fields.maybe_text("feature_code"),
    }
    if named is None and where["subscription_id"] is None and where["feature_code"] is None:
        said = "is missing; name a subscription or a `feature_code` here or for the whole edit"
        raise fields.refuse("missing_field", "subscription_id", said)
    match op:
        case "set_quantity":
            return SetQuantity(**where, quantity=fields.integer("quantity"))
        case "change_quantity":
            return ChangeQuantity(**where, delta=fields.integer("delta", -QUANTITY_MOST, zero=False))
        case "add_seats":
            return AddSeats(**where, seat_ids=seat_names(fields, "seat_ids", needed=True))
        case "remove_seats":
            return RemoveSeats(**where, seat_ids=seat_names(fields, "seat_ids", needed=True))
        case "move_seat":
            return MoveSeat(
                **where,
                from_seat_id=fields.text("from_seat_id"),
                to_seat_id=fields.text("to_seat_id"),
                carry_balance=fields.flag("carry_balance") or False,
            )
        case "set_seats":
            return SetSeats(**where, seat_ids=seat_names(fields, "seat_ids", needed=True))
        case "add_unassigned_seats":
            return AddUnassignedSeats(**where, quantity=fields.integer("quantity", 1))
        case _:
            return RemoveUnassignedSeats(**where, quantity=fields.integer("quantity", 1))


def _expected_version(fields: Fields, named: str | None, operations: tuple[AnyOperation, ...]) -> dict[str, int] | None:
    """A map from the subscriptions' names; a plain number means the only subscription that the edit names."""
    name = "expected_version"
    version = fields.integer_or_map(name, 0, SEQUENCE_MOST)
    if version is None or isinstance(version, dict):
        return version
    touched = {operation.subscription_id or operation.feature_code or named for operation in operations} or {named}
    if len(touched) > 1:
        said = "is one number, but the edit names several subscriptions; give a map from each one's name to its version"
        raise fields.refuse("wrong_type", name, said)
    return {subscription: version for subscription in touched if subscription is not None}

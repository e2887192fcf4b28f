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
from wire.fields import NAME_LENGTH, QUANTITY_MOST, SEQUENCE_MOST, Common, Fields

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
    items = fields.items("operations", needed=True)
    if len(items) > OPERATIONS_MOST:
        said = f"holds {len(items):,} operations; send at most {OPERATIONS_MOST} in one edit"
        raise fields.refuse("too_large", "operations", said)
    operations = tuple(_operation(held, common["time"], named) for held in fields.objects("operations"))
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
    items = fields.items(name, needed)
    if len(items) > SEATS_MOST:
        raise fields.refuse("too_large", name, f"holds {len(items):,} seats; give at most {SEATS_MOST:,} at once")
    return tuple(_seat_name(value, f"{fields.at(name)}[{i}]") for i, value in enumerate(items))


def _seat_name(value: Any, path: str) -> SeatName:
    if type(value) is str and 1 <= len(value) <= NAME_LENGTH:
        return SeatName(seat_id=value)
    if isinstance(value, dict):
        held = Fields(value, f"{path}.")
        return SeatName(seat_id=held.text("seat_id"), name=held.maybe_label("name"), email=held.maybe_label("email"))
    # Neither: the one way to read it that is left says what is wrong with it.
    return SeatName(seat_id=Fields({"": value}, path).text(""))


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
            delta = fields.integer("delta", -QUANTITY_MOST)
            if delta == 0:
                raise fields.refuse(
                    "unknown_value", "delta", "is 0 and would change nothing; give a number above or below 0"
                )
            return ChangeQuantity(**where, delta=delta)
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
    if not fields.has(name):
        return None
    versions = fields.object(name) if fields.is_object(name) else None
    if versions is not None:
        return {key: versions.integer(key, 0, SEQUENCE_MOST) for key in versions.names()}
    version = fields.integer(name, 0, SEQUENCE_MOST)
    touched = {operation.subscription_id or operation.feature_code or named for operation in operations} or {named}
    if len(touched) > 1:
        said = "is one number, but the edit names several subscriptions; give a map from each one's name to its version"
        raise fields.refuse("wrong_type", name, said)
    return {subscription: version for subscription in touched if subscription is not None}

"""Facts to the JSON of the wire: what `read` would take for the same fact."""

from typing import Any, Final

import msgspec

from ledger import amounts, instants
from ledger.facts import (
    AnyFact,
    ContractCreated,
    CreditBurn,
    SeatChange,
    SeatName,
    Value,
)
from ledger.instants import FOREVER, Every
from wire.fields import ID_LENGTH, NEVER

_AMOUNTS: Final = frozenset({"amount", "min", "max"})
_INSTANTS: Final = frozenset(
    {"time", "starting_at", "ending_before", "effective_at", "expires_at", "voided_at", "anchor"}
)
#: What a fact holds as an object and the wire as fields of the fact itself.
_NESTED: Final = ("subscription", "recurring_credit", "grant", "changes")


def write(fact: AnyFact) -> bytes:
    """One JSON object in the flat form; a CloudEvent where the fact's id is too long for any other."""
    held = plain(fact)
    if len(fact.id) > ID_LENGTH:
        held = _event(fact, held)
    return msgspec.json.encode(held)


def plain(fact: AnyFact) -> dict[str, Any]:
    """The fields of the flat form, defaults left out."""
    held: dict[str, Any] = {}
    # Where a topic has one type, or one that goes without saying, it does.
    if not isinstance(fact, SeatChange | CreditBurn):
        held["type"] = fact.__struct_config__.tag
    held |= _fields(fact)
    for nested in _NESTED:
        if nested in held:
            held |= held.pop(nested)
    if isinstance(fact, ContractCreated):
        for grant in held.get("grants", ()):
            del grant["contract_id"]
    return held


def _event(fact: AnyFact, held: dict[str, Any]) -> dict[str, Any]:
    source, _, event_id = held["id"].partition("\n")
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": fact.__struct_config__.tag,
        "time": held["time"],
        "subject": held["customer_id"],
        "data": {name: value for name, value in held.items() if name not in ("id", "type", "time", "customer_id")},
    }


def _fields(value: Value) -> dict[str, Any]:
    return {
        field.name: _plain(field.name, held)
        for field in msgspec.structs.fields(value)
        if (held := getattr(value, field.name)) is not None and held != field.default
    }


def _plain(name: str, value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() if name in _AMOUNTS:
            return amounts.text(value)
        case int() if name in _INSTANTS:
            return NEVER if value == FOREVER else instants.text(value)
        case Every():
            return instants.every_text(value)
        case SeatName(name=None, email=None):
            return value.seat_id
        case Value():
            tag = value.__struct_config__.tag
            return ({"op": tag} if tag is not None else {}) | _fields(value)
        case tuple():
            return [_plain(name, item) for item in value]
        case _:
            return value

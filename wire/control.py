"""What goes over `control`: ticks, which move a partition's clock (L17)."""

from typing import Any, Final

import msgspec
import orjson

from ledger import instants
from ledger.instants import Instant
from ledger.outcome import Refusal
from wire.fields import Fields, Unfit, parse

TYPES: Final = ("tick",)


class Tick(msgspec.Struct, frozen=True):
    """It is `time` now."""

    time: Instant


def read_control(value: bytes | None) -> Tick | Refusal:
    """What a message of `control` says, or why it says nothing."""
    try:
        return control(Fields(parse(value or b"")))
    except Unfit as unfit:
        message = f"{unfit.field or 'the message'} {unfit.said}"
        return Refusal(code=unfit.code, field=unfit.field, message=message, law="L17")


def control(fields: Fields) -> Tick:
    fields.choice("type", TYPES)
    return Tick(fields.instant("time"))


def tick(time: Instant) -> bytes:
    """A tick as it is sent."""
    said: dict[str, Any] = {"type": "tick", "time": instants.text(time)}
    return orjson.dumps(said)

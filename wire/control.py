"""What goes over `control`: ticks, which move a partition's clock (L17), and copies of rules for each partition."""

from typing import Any, Final

import msgspec
import orjson

from ledger import instants
from ledger.instants import Instant
from ledger.outcome import Refusal
from wire.codec import Unreadable
from wire.fields import Fields, Unfit, parse
from wire.rules import Archived, Rule, read_rule

TYPES: Final = ("tick", "rule")


class Tick(msgspec.Struct, frozen=True):
    """It is `time` now."""

    time: Instant


def read_control(value: bytes | None) -> Tick | Rule | Archived | Refusal:
    """What a message of `control` says, or why it says nothing."""
    try:
        fields = Fields(parse(value or b""))
        if fields.choice("type", TYPES) == "tick":
            return control(fields)
    except Unfit as unfit:
        message = f"{unfit.field or 'the message'} {unfit.said}"
        return Refusal(code=unfit.code, field=unfit.field, message=message, law="L17")
    rule = read_rule(None, value)
    return rule.refusal if isinstance(rule, Unreadable) else rule


def control(fields: Fields) -> Tick:
    fields.choice("type", ("tick",))
    return Tick(fields.instant("time"))


def tick(time: Instant) -> bytes:
    """A tick as it is sent."""
    said: dict[str, Any] = {"type": "tick", "time": instants.text(time)}
    return orjson.dumps(said)

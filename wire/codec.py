"""Bytes to facts and back. What a producer sends becomes a fact, or a value that says why it cannot be read.

`read` takes the flat form of the wire and CloudEvents 1.0, structured or binary. Every default is resolved as
`ledger.facts` says. `write` is the way back: `read(topic(fact), None, write(fact)) == fact`.

A burn of the usual form takes about 2 us in pure Python (`python -m wire.codec` measures it); any other way of writing
one, and every other fact, is read by a longer way that can name the field at fault.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from ledger.facts import AnyFact, Topic, Value
from ledger.outcome import Refusal
from wire.burns import credit_burn, quick_burn
from wire.cloudevents import Body, unwrap
from wire.contracts import contract_change
from wire.fields import ID_LENGTH, IDENTITY_LENGTH, NAME_LENGTH, Fields, Unfit, common
from wire.seats import seat_change
from wire.writing import write

__all__ = ["MESSAGE_BYTES", "Headers", "Unreadable", "read", "write"]

#: The most that a message may hold: its key, its value and its headers.
MESSAGE_BYTES = 1 << 20

#: As Kafka's clients hand them over: pairs, or a mapping.
Headers: TypeAlias = Mapping[str, bytes | None] | Iterable[tuple[str, bytes | None]]


class Unreadable(Value, frozen=True, kw_only=True):
    """A message that is no fact: why, and whose it is as far as that could be read."""

    refusal: Refusal
    customer_id: str | None = None
    id: str | None = None


def read(topic: Topic, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> AnyFact | Unreadable:
    """The fact that a message of this topic says. The body's `customer_id` counts, whatever the key is."""
    size = 0 if value is None else len(value)
    if key is not None:
        size += len(key)
    if headers:
        size += _size(headers)
    if size > MESSAGE_BYTES:
        said = f"the message has {size:,} bytes; send at most {MESSAGE_BYTES:,}, in several facts if need be"
        return Unreadable(refusal=Refusal(code="too_large", message=said, law="L19"))
    if topic == "credit-burn" and value is not None and not (headers and _has_event(headers)):
        burn = quick_burn(value)
        if burn is not None:
            return burn
    return _explain(topic, value, _named(headers))


def _explain(topic: Topic, value: bytes | None, headers: Mapping[str, bytes]) -> AnyFact | Unreadable:
    try:
        body = unwrap(value, headers)
    except Unfit as unfit:
        return Unreadable(refusal=_refusal(unfit, unfit.field))
    try:
        return _fact(topic, body)
    except Unfit as unfit:
        return Unreadable(
            refusal=_refusal(unfit, body.named(unfit.field)),
            customer_id=_text(body.held.get("customer_id"), NAME_LENGTH),
            id=_text(body.held.get("id"), IDENTITY_LENGTH if body.names else ID_LENGTH),
        )


def _fact(topic: Topic, body: Body) -> AnyFact:
    fields = Fields(body.held)
    shared = common(fields, body.id_length)
    match topic:
        case "credit-burn":
            return credit_burn(fields, shared, body.data)
        case "seat-change":
            return seat_change(fields, shared)
        case "contract-change":
            return contract_change(fields, shared)


def _refusal(unfit: Unfit, field: str | None) -> Refusal:
    law = "L1" if unfit.code.startswith("amount") else "L19"
    return Refusal(code=unfit.code, field=field, message=f"{field or 'the message'} {unfit.said}", law=law)


def _text(value: object, most: int) -> str | None:
    return value if isinstance(value, str) and 1 <= len(value) <= most else None


def _has_event(headers: Headers) -> bool:
    names = headers if isinstance(headers, Mapping) else (name for name, _ in headers)
    return any(name.startswith("ce_") or name == "content-type" for name in names)


def _size(headers: Headers) -> int:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return sum(len(name) + len(value or b"") for name, value in pairs)


def _named(headers: Headers | None) -> Mapping[str, bytes]:
    """Headers by name; of one that comes twice, the last counts."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {name.lower(): value for name, value in pairs if value is not None}


def _read_all(values: list[bytes]) -> None:
    for value in values:
        read("credit-burn", None, value)


if __name__ == "__main__":
    from functools import partial
    from timeit import repeat

    usual = (
        b'{"id": "run-7f3", "customer_id": "acme", "seat_id": "ana@acme.test", "amount": "1.25",'
        b' "time": "2026-03-16T09:30:00Z"}'
    )
    forms = {
        "the usual burn": [usual] * 1_000,
        "milliseconds, and an amount not seen before": [
            usual.replace(b"1.25", b"1.%09d" % n).replace(b":00Z", b":00.%03dZ" % (n % 1000)) for n in range(100_000)
        ],
        "the longer way": [usual.replace(b"1.25", rb"\u0031.25")] * 1_000,
    }
    for form, values in forms.items():
        seconds = min(repeat(partial(_read_all, values), number=10))
        print(f"{form:<45} {seconds / 10 / len(values) * 1e6:6.2f} us")

"""CloudEvents 1.0 beside the flat form: the same facts in another envelope.

Structured (the message is the event) and binary (the message is the data, the attributes are headers `ce_*`).
`time` and `type` are the fact's, `subject` is the customer, `data` holds the rest; what the event says, its data need
not say again. `source` (1-200 characters, no line feed) and `id` (1-128) together name the event: the fact's id is both
with a line feed between them, so no two events share one, and an answer's `id` and a `burn_id` are written the same way.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from wire.fields import ID_LENGTH, IDENTITY_LENGTH, Fields, Unfit, parse

SPECVERSION = "1.0"
_ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject")


class Body(NamedTuple):
    """A fact as flat fields, whatever it came in."""

    held: dict[str, Any]
    #: The JSON object that holds the fact's own fields.
    data: bytes
    id_length: int = ID_LENGTH
    #: What the fields of the flat form are called in this envelope.
    names: Mapping[str, str] = {}
    prefix: str = ""

    def named(self, field: str | None) -> str | None:
        """The path of a flat field, as its producer knows it."""
        if field is None:
            return None
        first = field.split(".", 1)[0].split("[", 1)[0]
        return self.names[first] + field[len(first) :] if first in self.names else self.prefix + field


class _Event(msgspec.Struct):
    data: msgspec.Raw


_data_of = msgspec.json.Decoder(_Event).decode


def unwrap(value: bytes | None, headers: Mapping[str, bytes]) -> Body:
    """The fact's own fields, out of whichever of the three forms the message has."""
    if "ce_specversion" in headers or "ce_id" in headers:
        attributes = {name: _header(headers, name) for name in _ATTRIBUTES if f"ce_{name}" in headers}
        return _body(attributes, value or b"{}", names="ce_", prefix="")
    if value is None:
        raise Unfit("unreadable", None, "has no value; send one JSON object in UTF-8")
    held = parse(value)
    if held.get("specversion") is None and not headers.get("content-type", b"").startswith(b"application/cloudevents"):
        return Body(held, value)
    return _body(held, _data(held, value), names="", prefix="data.")


def _body(attributes: dict[str, Any], data: bytes, *, names: str, prefix: str) -> Body:
    event = Fields(attributes, names)
    event.choice("specversion", (SPECVERSION,))
    source = event.text("source")
    if "\n" in source:
        raise event.refuse("unknown_value", "source", "holds a line feed; give a URI reference")
    known = {
        "id": f"{source}\n{event.text('id')}" if _fits(attributes.get("id")) else event.text("id", ID_LENGTH),
        "type": event.text("type"),
    }
    called = {"id": f"{names}id", "type": f"{names}type"}
    for attribute, field in (("time", "time"), ("subject", "customer_id")):
        if event.has(attribute):
            known[field] = attributes[attribute]
            called[field] = f"{names}{attribute}"
    return Body(parse(data) | known, data, IDENTITY_LENGTH, called, prefix)


def _fits(event_id: Any) -> bool:
    return isinstance(event_id, str) and 1 <= len(event_id) <= ID_LENGTH


def _data(event: dict[str, Any], value: bytes) -> bytes:
    """The bytes of the event's data: a JSON object, or one in base64."""
    if event.get("data") is not None:
        return bytes(_data_of(value).data)
    encoded = event.get("data_base64")
    if encoded is None:
        return b"{}"
    try:
        return b64decode(encoded, validate=True)
    except (TypeError, ValueError):
        raise Unfit("wrong_type", "data_base64", "is not base64; give the fact as an object in `data`") from None


def _header(headers: Mapping[str, bytes], name: str) -> str:
    try:
        return headers[f"ce_{name}"].decode()
    except UnicodeDecodeError:
        raise Unfit("unreadable", f"ce_{name}", "is not UTF-8; send the attribute as text in UTF-8") from None

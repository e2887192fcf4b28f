"""What leaves on `history-snapshot` and on `dead-letter`: ledger values to messages.

Lists are cut into parts of at most 1,000 items. A snapshot's id is made of what it says and why, never of when it was
written, so that a consumer knows a repeat by its id.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ledger import amounts, instants
from ledger.amounts import Amount
from ledger.answers import Balance, Charge, Counts
from ledger.facts import SEAT_ID, Value
from ledger.instants import Instant
from ledger.outcome import Refusal
from wire import answers
from wire.answers import Plain

ITEMS_MOST: Final = 1_000
#: Our own topics take messages of 4 MiB (`wire.topics`); a batch of records has a frame around it.
LETTER_BYTES: Final = (4 << 20) - 4_096

Headers = tuple[tuple[str, bytes | None], ...]


class Message(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


# --- history-snapshot ------------------------------------------------------------------------------------------------


class Occasion(Value, frozen=True, kw_only=True):
    """What every snapshot says beside its own: whose, from when on, why, and how far was read (as plain data)."""

    customer_id: str
    contract_id: str | None
    time: Instant
    cause_type: str
    cause_id: str
    as_of: dict[str, Any]


class Moved(Value, frozen=True, kw_only=True):
    """What happened to a scope since the snapshot before."""

    burned: Amount = 0
    adjusted: Amount = 0
    expired: Amount = 0


def seats_changed(
    occasion: Occasion, counts: Counts, previous_quantity: int, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> list[Message]:
    held = _counts(counts) | {"previous_quantity": previous_quantity}
    return _seats("seats.changed", occasion, held, added, removed)


def seats_corrected(
    occasion: Occasion, counts: Counts, previous: Counts, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> list[Message]:
    """What a late fact changed in counts that were published; `previous` is what had been said."""
    held = _counts(counts) | {"previous_quantity": previous.total, "previous": _counts(previous)}
    return _seats("seats.corrected", occasion, held, added, removed)


def seats_charged(occasion: Occasion, charge: Charge) -> list[Message]:
    return [_snapshot("seats.charged", occasion, _charged(charge), answers.charge(charge))]


def charge_corrected(occasion: Occasion, charge: Charge, previous: Charge) -> list[Message]:
    """What a late fact changed in a charge that was published; `previous` is what had been said. What is not due any more
    is for 0 seats."""
    was = answers.charge(previous)
    held = answers.charge(charge) | {"previous": {name: was[name] for name in _CORRECTED if name in was}}
    return [_snapshot("charge.corrected", occasion, _charged(charge), held)]


_CORRECTED: Final = ("seats", "fraction", "unit_price", "amount")


def _charged(charge: Charge) -> tuple[str, ...]:
    return charge.subscription_id, charge.kind, instants.text(charge.since)


def balance_snapshot(occasion: Occasion, balance: Balance, moved: Moved) -> list[Message]:
    return _balance("balance.snapshot", occasion, balance, _moved(moved))


def balance_corrected(
    occasion: Occasion, balance: Balance, moved: Moved, previous: Balance, previously_moved: Moved
) -> list[Message]:
    """What a late fact changed in a balance that was published; `previous` is what had been said."""
    was = _moved(previously_moved) | _sums(previous)
    return _balance("balance.corrected", occasion, balance, _moved(moved) | {"previous": was})


def _seats(type: str, occasion: Occasion, held: Plain, added: Sequence[str], removed: Sequence[str]) -> list[Message]:
    changes = [(seat_id, True) for seat_id in added] + [(seat_id, False) for seat_id in removed]
    parts = list(_parts(changes))
    return [
        _snapshot(
            type,
            occasion,
            (held["subscription_id"],),
            held
            | {
                "added": [seat_id for seat_id, comes in items if comes],
                "removed": [seat_id for seat_id, comes in items if not comes],
                "part": part,
                "parts": len(parts),
            },
        )
        for part, items in enumerate(parts, 1)
    ]


def _balance(type: str, occasion: Occasion, balance: Balance, held: Plain) -> list[Message]:
    scope = answers.scope(balance.scope)
    subject = (balance.scope.seat_group_key, balance.scope.seat_id, balance.scope.credit_type)
    sums = {"scope": scope, "credit_type": balance.scope.credit_type} | _sums(balance) | held
    parts = list(_parts(balance.grants))
    return [
        _snapshot(
            type,
            occasion,
            subject,
            sums | {"grants": [answers.grant(grant) for grant in grants], "part": part, "parts": len(parts)},
        )
        for part, grants in enumerate(parts, 1)
    ]


def _snapshot(type: str, occasion: Occasion, subject: tuple[str | None, ...], held: Plain) -> Message:
    named: tuple[Any, ...] = (
        type, occasion.contract_id, subject, occasion.time, occasion.cause_type, occasion.cause_id,
    )  # fmt: skip
    if type.endswith(".corrected"):
        # One fact may correct what was said as of one instant, and later what was said as of another.
        named = (*named, occasion.as_of.get("event_time"))
    said: Plain = {
        "type": type,
        "snapshot_id": blake2b(msgspec.msgpack.encode((occasion.customer_id, *named)), digest_size=16).hexdigest(),
        "customer_id": occasion.customer_id,
        "contract_id": occasion.contract_id,
        "time": instants.text(occasion.time),
        "cause": {"type": occasion.cause_type, "id": occasion.cause_id},
        "as_of": occasion.as_of,
    }
    return Message(occasion.customer_id.encode(), msgspec.json.encode(said | held))


def type_of(snapshot: Message) -> str:
    """What a message of `history-snapshot` says first."""
    assert snapshot.value is not None
    return snapshot.value[len(_FIRST) : snapshot.value.index(b'"', len(_FIRST))].decode()


_FIRST: Final = b'{"type":"'


def _counts(counts: Counts) -> Plain:
    held = answers.counts(counts)
    del held["paid"]
    return held


def _sums(balance: Balance) -> Plain:
    return {
        "granted": amounts.text(balance.granted),
        "balance": amounts.text(balance.balance),
        "overage": amounts.text(balance.overage),
    }


def _moved(moved: Moved) -> Plain:
    return {
        "burned": amounts.text(moved.burned),
        "adjusted": amounts.text(moved.adjusted),
        "expired": amounts.text(moved.expired),
    }


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """At least one part, be it empty."""
    for start in range(0, len(items) or 1, ITEMS_MOST):
        yield items[start : start + ITEMS_MOST]


# --- threshold-alert -------------------------------------------------------------------------------------------------

AlertState = Literal["in_alarm", "resolved", "retracted", "archived"]


class Alert(Value, frozen=True, kw_only=True):
    """What is said of one crossing. `value`: what was compared, already as text, None where there is nothing to compare."""

    alert_id: str
    rule_id: str
    name: str
    state: AlertState
    late: bool = False
    customer_id: str
    contract_id: str | None = None
    subscription_id: str | None = None
    feature_code: str | None = None
    quantity: int | None = None
    included: int | None = None
    seat_id: str | None = None
    seat_group_key: str = SEAT_ID
    metric: str
    level: Amount
    value: str | None
    credit_type: str | None = None
    time: Instant
    cause_type: str
    cause_id: str
    #: Where its rule wants it delivered too, as `alert-rule` says it.
    webhook: bytes | None = None


def threshold_alert(alert: Alert, as_of: Plain) -> Message:
    """A message of `threshold-alert`. `as_of`: how far was read, as plain data."""
    said: Plain = {"alert_id": alert.alert_id, "rule_id": alert.rule_id, "name": alert.name, "state": alert.state}
    if alert.late:
        said["late"] = True
    said["customer_id"] = alert.customer_id
    for name in ("contract_id", "subscription_id", "feature_code", "quantity", "included", "seat_id"):
        if (value := getattr(alert, name)) is not None:
            said[name] = value
    if alert.seat_group_key != SEAT_ID:
        # As in a snapshot: the usual one goes without saying.
        said["seat_group_key"] = alert.seat_group_key
    said |= {"metric": alert.metric, "level": amounts.text(alert.level), "value": alert.value}
    if alert.credit_type is not None:
        said["credit_type"] = alert.credit_type
    said |= {
        "time": instants.text(alert.time),
        "cause": {"type": alert.cause_type, "id": alert.cause_id},
        "as_of": as_of,
    }
    headers = () if alert.webhook is None else ((WEBHOOK_HEADER, alert.webhook),)
    return Message(alert.customer_id.encode(), msgspec.json.encode(said), headers)


#: The header of an alert whose rule wants it delivered by HTTP too: where to, and which secret signs it.
WEBHOOK_HEADER: Final = "seatstream.webhook"

# --- dead-letter -----------------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """A message of an input topic as it was found, and where."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def dead_letter(source: Source, refusal: Refusal, fact_id: str | None, most: int = LETTER_BYTES) -> list[Message]:
    """The original, key, value and headers untouched, and in further headers why it lies here and where it came from.

    It is one message, unless a producer was let send more than `most` bytes to the input topic: then the value comes
    in several, each with `seatstream.part` and `.parts`, in order, to be put together again. A key or headers that
    would take a quarter of a message themselves are no one's; they are cut to what fits, and `seatstream.cut` says so.
    The whole of it lies where `.topic`, `.partition` and `.offset` say.
    """
    key, cut = source.key, []
    if key is not None and len(key) > most // 4:
        key = key[: most // 4]
        cut.append("key")
    kept = [(name, value) for name, value in source.headers if not name.startswith("seatstream.")]
    if sum(len(name.encode()) + len(value or b"") + _FRAME for name, value in kept) > most // 4:
        kept = []
        cut.append("headers")
    why = _why(source, refusal, fact_id) + ([("seatstream.cut", ",".join(cut))] if cut else [])
    headers = (*kept, *((name, _header(text)) for name, text in why))
    room = (
        most
        - len(key or b"")
        - sum(len(name.encode()) + len(value or b"") + _FRAME for name, value in headers)
        - _FRAME
    )
    value = source.value
    if value is None or len(value) <= room:
        return [Message(key, value, headers)]
    pieces = [value[start : start + room] for start in range(0, len(value), room)]
    return [
        Message(key, piece, (*headers, ("seatstream.part", b"%d" % part), ("seatstream.parts", b"%d" % len(pieces))))
        for part, piece in enumerate(pieces, 1)
    ]


#: What a record and each of its headers take beside their bytes, at most.
_FRAME: Final = 64
_HEADER_BYTES: Final = 4_000


def _why(source: Source, refusal: Refusal, fact_id: str | None) -> list[tuple[str, str]]:
    said = [
        ("code", refusal.code),
        ("field", refusal.field),
        ("message", refusal.message),
        ("topic", source.topic),
        ("partition", str(source.partition)),
        ("offset", str(source.offset)),
        ("timestamp", instants.text(source.timestamp_ms * 1_000)),
        ("id", fact_id),
    ]
    return [(f"seatstream.{name}", text) for name, text in said if text is not None]


def _header(text: str) -> bytes:
    """In UTF-8, cut between two characters."""
    said = text.encode()
    return said if len(said) <= _HEADER_BYTES else said[:_HEADER_BYTES].decode(errors="ignore").encode()

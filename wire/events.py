"""JSON Schemas of what leaves: what a consumer of our topics may rely on.

`wire.outputs` and `wire.answers` make the messages. That they make all of these and nothing else, tests hold; later versions
may say more, so a consumer passes over what it does not know.
"""

from typing import Any, Final, get_args

from wire.outputs import ITEMS_MOST, WEBHOOK_HEADER, AlertState
from wire.rules import LEFT, USED

Schema = dict[str, Any]


def _object(description: str, needed: Schema, optional: Schema | None = None) -> Schema:
    return {
        "description": description,
        "type": "object",
        "properties": needed | (optional or {}),
        "required": list(needed),
    }


def _or_null(schema: Schema, description: str) -> Schema:
    return {"description": description, "anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_PART: Final[Schema] = {"type": "integer", "minimum": 1}
_IDS: Final[Schema] = {"type": "array", "items": _TEXT, "maxItems": ITEMS_MOST}
_INSTANT, _AMOUNT = _ref("instant"), _ref("amount")

_SNAPSHOT: Final[Schema] = {
    "snapshot_id": {"description": "The same snapshot has the same id, always; its parts share it.", "type": "string"},
    "customer_id": _TEXT,
    "contract_id": {"description": "null: the customer's pool.", "type": ["string", "null"]},
    "time": _INSTANT,
    "cause": _ref("cause"),
    "as_of": _ref("as_of"),
}
_PARTS: Final[Schema] = {
    "part": {"description": f"A list of more than {ITEMS_MOST:,} items comes in parts, counted from 1."} | _PART,
    "parts": _PART,
}
_COUNTS: Final[Schema] = {
    "subscription_id": _TEXT,
    "version": {"description": "How many edits were accepted so far."} | _COUNT,
    "quantity": {"description": "All seats, assigned and unassigned."} | _COUNT,
    "assigned": _COUNT,
    "unassigned": _COUNT,
    "included": {"description": "null: the subscription names no number.", "type": ["integer", "null"]},
    "extra": {"description": "Seats above the included ones."} | _COUNT,
    "pending_removals": {"description": "Seats that are paid for and gone; later rises use them up first."} | _COUNT,
}
_FEATURE: Final[Schema] = {"feature_code": _TEXT}
_SEATS: Final[Schema] = _SNAPSHOT | _COUNTS | {"previous_quantity": _COUNT, "added": _IDS, "removed": _IDS} | _PARTS
_SUMS: Final[Schema] = {
    "granted": {"description": "What the active grants were given when each last started, recurred or rolled over."}
    | _AMOUNT,
    "balance": {"description": "What is left of the active grants."} | _AMOUNT,
    "overage": {"description": "What no grant covered: a debt under `carry`, else the sum since the last reset."}
    | _AMOUNT,
}
_MOVED: Final[Schema] = {
    "burned": {"description": "Since the snapshot before."} | _AMOUNT,
    "adjusted": {"description": "Likewise."} | _AMOUNT,
    "expired": {"description": "Likewise."} | _AMOUNT,
}
_BALANCE: Final[Schema] = (
    _SNAPSHOT
    | {"scope": _ref("scope"), "credit_type": _TEXT}
    | _SUMS
    | _MOVED
    | {"grants": {"type": "array", "items": _ref("grant"), "maxItems": ITEMS_MOST}}
    | _PARTS
)

_CHARGED: Final[Schema] = {
    "seats": _COUNT,
    "fraction": {
        "description": 'Of the billing period, exactly: "1", or a part of it as "15/31".',
        "type": "string",
        "pattern": "^[0-9]+(/[0-9]+)?$",
    },
}
_CHARGE: Final[Schema] = (
    _SNAPSHOT
    | {
        "subscription_id": _TEXT,
        "kind": {"enum": ["period", "increase"]},
        "since": {"description": "From when on these seats count: the start of the period, or the rise."} | _INSTANT,
    }
    | _CHARGED
    | {
        "period": _object(
            "The billing period.",
            {name: _or_null(_INSTANT, "null: beyond the year 9999.") for name in ("from", "to")},
        )
    }
)
_PRICED: Final[Schema] = {
    "unit_price": _object("For a seat and period.", {"amount": _AMOUNT, "currency": _TEXT}),
    "amount": _AMOUNT,
}

_DEFINITIONS: Final[Schema] = {
    "instant": {"description": "RFC 3339 in UTC, with up to 6 decimals.", "type": "string", "format": "date-time"},
    "amount": {"description": "An exact decimal.", "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?$"},
    "cause": _object(
        "What did it: the fact's type and id, or type `time` with an instant where it happened by itself.",
        {"type": _TEXT, "id": _TEXT},
    ),
    "as_of": _object(
        "As of when the numbers are, and how far the inputs were read: the next offset by topic and partition.",
        {"event_time": _INSTANT, "offsets": {"type": "object", "additionalProperties": _COUNT}},
    ),
    "scope": {
        "description": "Whose balance it is: a seat's, or the pool's.",
        "anyOf": [
            _object("A seat.", {"seat_id": _TEXT}, {"seat_group_key": _TEXT}),
            _object("The contract's pool, or the customer's.", {"pool": {"const": True}}),
        ],
    },
    "grant": _object(
        "An active grant; a slice of a recurring credit has that one's id.",
        {
            "grant_id": _TEXT,
            "balance": _AMOUNT,
            "granted": _AMOUNT,
            "amount": _AMOUNT,
            "priority": _WHOLE,
            "effective_at": _INSTANT,
            "expires_at": _or_null(_INSTANT, "null: never."),
        },
        {"slice": _COUNT, "recurring_credit_id": _TEXT, "subscription_id": _TEXT},
    ),
    "seats.changed": _object(
        "The counts of a subscription are others than before.",
        {"type": {"const": "seats.changed"}} | _SEATS,
        _FEATURE,
    ),
    "seats.corrected": _object(
        "A late fact changed counts that had been published.",
        {"type": {"const": "seats.corrected"}}
        | _SEATS
        | {"previous": _object("What had been said.", _COUNTS, _FEATURE)},
        _FEATURE,
    ),
    "seats.charged": _object(
        "What is due for the seats beyond the included ones.",
        {"type": {"const": "seats.charged"}} | _CHARGE,
        _PRICED,
    ),
    "charge.corrected": _object(
        "A late fact changed a charge that had been published: the one of this subscription, kind and `since`. What is not due "
        "any more is for 0 seats. The charges and, of each correction, what is more or less than `previous`, sum to what is due.",
        {"type": {"const": "charge.corrected"}}
        | _CHARGE
        | {"previous": _object("What had been said.", _CHARGED, _PRICED)},
        _PRICED,
    ),
    "balance.snapshot": _object(
        "The balance of a scope: at starts, ends, recurrences and resets, and now and then while it moves.",
        {"type": {"const": "balance.snapshot"}} | _BALANCE,
    ),
    "balance.corrected": _object(
        "A late fact changed a balance that had been published.",
        {"type": {"const": "balance.corrected"}}
        | _BALANCE
        | {"previous": _object("What had been said.", _SUMS | _MOVED)},
    ),
}

HISTORY_SNAPSHOT: Final[Schema] = {
    "oneOf": [
        _ref(name)
        for name in (
            "seats.changed",
            "seats.corrected",
            "seats.charged",
            "charge.corrected",
            "balance.snapshot",
            "balance.corrected",
        )
    ],
    "$defs": _DEFINITIONS,
}

THRESHOLD_ALERT: Final[Schema] = _object(
    "One crossing of a line, or what became of it.",
    {
        "alert_id": {"description": "The same crossing has the same id, always.", "type": "string"},
        "rule_id": _TEXT,
        "name": {"description": "The rule's.", "type": "string"},
        "state": {
            "description": "`retracted`: a late fact took the crossing away; `archived`: the rule is no more.",
            "enum": list(get_args(AlertState)),
        },
        "customer_id": _TEXT,
        "metric": {"enum": [*LEFT, *USED]},
        "level": _AMOUNT,
        "value": {"description": "What was compared; null where nothing could be.", "type": ["string", "null"]},
        "time": _INSTANT,
        "cause": _ref("cause"),
        "as_of": _ref("as_of"),
    },
    {
        "late": {"description": "A late fact added the crossing.", "const": True},
        "contract_id": _TEXT,
        "subscription_id": _TEXT,
        "feature_code": _TEXT,
        "quantity": _COUNT,
        "included": _COUNT,
        "seat_id": _TEXT,
        "seat_group_key": _TEXT,
        "credit_type": _TEXT,
    },
) | {"$defs": {name: _DEFINITIONS[name] for name in ("instant", "amount", "cause", "as_of")}}

DEAD_LETTER_HEADERS: Final[Schema] = _object(
    "Beside these, the headers of the original. The message itself is the original, key and value untouched.",
    {
        "seatstream.code": {"description": "The code of the refusal.", "type": "string"},
        "seatstream.message": {"description": "What was wrong, as a sentence.", "type": "string"},
        "seatstream.topic": {"description": "Where it came from.", "type": "string"},
        "seatstream.partition": {"type": "string", "pattern": "^[0-9]+$"},
        "seatstream.offset": {"type": "string", "pattern": "^[0-9]+$"},
        "seatstream.timestamp": {
            "description": "When the broker appended it.",
            "type": "string",
            "format": "date-time",
        },
    },
    {
        "seatstream.field": {"description": "The path of the field at fault.", "type": "string"},
        "seatstream.id": {"description": "The id of the fact, as far as it could be read.", "type": "string"},
        WEBHOOK_HEADER: {
            "description": "Of an alert that nobody took (`undelivered`): where it was to go, as JSON.",
            "type": "string",
        },
        "seatstream.cut": {
            "description": "What was too large to be kept: `key`, `headers`, or both.",
            "type": "string",
        },
        "seatstream.part": {
            "description": "Of a value that is larger than any fact may be: which part this is.",
            "type": "string",
            "pattern": "^[0-9]+$",
        },
        "seatstream.parts": {"type": "string", "pattern": "^[0-9]+$"},
        "seatstream.step": {
            "description": "With which step of its partition it left, as on every message that SeatStream's fold sends.",
            "type": "string",
            "pattern": "^[0-9]+$",
        },
    },
)

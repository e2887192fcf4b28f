"""The schemas in `docs/events`, and the command that writes them: `python -m wire.schemas`.

JSON Schema 2020-12 for every topic, and one AsyncAPI 3 document for all of them. What comes in is described by the code
that reads it (`wire.asked`); a test fails where the files say anything else.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from wire.asked import DEFINITIONS, Schema, asked, variants
from wire.burns import TYPES, credit_burn
from wire.cloudevents import SPECVERSION
from wire.contracts import TYPES as CONTRACT_TYPES
from wire.contracts import contract_change
from wire.control import control
from wire.events import DEAD_LETTER_HEADERS, HISTORY_SNAPSHOT, THRESHOLD_ALERT
from wire.fields import ID_LENGTH, NAME_LENGTH, Fields, common
from wire.rules import CREDIT_SCOPES, LEFT, SEAT_SCOPES, USED
from wire.rules import _rule as rule_of
from wire.seats import OPERATIONS, seat_change

PLACE: Final = Path("docs/events")
WIDTH: Final = 120
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

#: What fields mean whose name does not say it.
MEANINGS: Final[Mapping[str, str]] = {
    "id": "Names the fact within its customer and topic: what comes twice counts once.",
    "customer_id": "Whose it is.",
    "time": "When it was submitted, and what instants default to; for a burn, a reset and an adjustment, when it happened.",
    "on_unknown": "What happens where it names something not known yet: `wait` unless said.",
    "starting_at": "The fact's `time` unless said; for what a contract brings along, the contract's start.",
    "ending_before": "The first instant at which it no longer is.",
    "effective_at": "When the grant starts: the fact's `time` unless said.",
    "expires_at": "When what is left of the grant is lost: never unless said.",
    "voided_at": "The fact's `time` unless said.",
    "overage": "What becomes of what no grant covers: `charge` unless said; `carry` makes it a debt.",
    "mode": "Whether seats are counted or named.",
    "seat_group_key": "What kind of thing a seat's id is: `seat_id` unless said.",
    "included_seats": "Seats beyond these are extra.",
    "minimum_seats": "So many are paid for in any case: 0 unless said.",
    "billing_period": "Every month from the start unless said.",
    "charge_increases": "When a rise is charged: `now` unless said.",
    "prorate_charges": "Whether a rise is charged for the part of the period that is left: true unless said.",
    "revoke_on_removal": "Whether a removed seat loses its slices: false unless said.",
    "allocation": "Whether the seats share it or each has its own: `pooled` unless said.",
    "credit_type": "`credits` unless said.",
    "every": "The step of the grid, counted from `anchor`.",
    "anchor": "A point of the grid: the start unless said.",
    "duration_periods": "For how many periods a slice lives: 1 unless said.",
    "priority": "The lower burns first: 100 unless said.",
    "proration": "Which of the first and the last period is cut to what it covers: `first_and_last` unless said.",
    "prorate_increases": "Whether a seat that comes in mid-period earns for the rest of it only: true unless said.",
    "rollover": "What a reset leaves; without it, nothing.",
    "min": "At least: 0 unless said.",
    "max": "At most: everything unless said.",
    "rounding": "Of shares: half_up to 9 decimals unless said.",
    "burn_class": "`rolled_over` burns before `standard`; `standard` unless said.",
    "slice": "The period of a recurring credit, counted from 0; the slice that started last unless said.",
    "preserve_overage": "Whether carried debts outlive the reset: false unless said.",
    "sequence": "Orders edits of one `time`: 0 unless said.",
    "expected_version": "A stale edit is refused: the version of the subscription, or of each by its name.",
    "carry_balance": "Whether the seat's credit moves along: false unless said.",
    "seat_ids": "Each an id, or an object that names who sits there.",
    "name": "For people; no rule looks at it.",
    "levels": "Each is a line of its own, in the metric's unit.",
    "margin": "How far beyond a level the value has to go before it may be crossed again: 0 unless said.",
    "include_seats": "Whether a contract's or a customer's balance counts seat-scoped credit: false unless said.",
    "window": "Whose burn rate `time_to_empty` goes by: P1D unless said.",
    "evaluate_on_create": "Whether what is beyond a level already is said at once: true unless said.",
    "notify_resolved": "Whether it is said that a value came back: true unless said.",
    "min_interval": "After it only the net change is said: none unless said.",
    "webhook": "Where alerts are delivered too; the file of SEATSTREAM_WEBHOOKS has the secrets.",
    "archived": "The rule is no more.",
    "properties": "Whatever the producer likes; no rule looks at it.",
    "burn_id": "The id of the burn that is taken back.",
}

_NOT_NULL: Final[Schema] = {"not": {"type": "null"}}


# --- facts -----------------------------------------------------------------------------------------------------------


def contract_changes() -> list[Schema]:
    return variants(lambda fields: contract_change(fields, common(fields)), "type", CONTRACT_TYPES)


def credit_burns() -> list[Schema]:
    return variants(lambda fields: credit_burn(fields, common(fields), b'{"properties": {}}'), "type", TYPES)


def seat_changes() -> list[Schema]:
    """One schema: what differs by `op` is within its list."""
    edits = variants(lambda fields: seat_change(fields, common(fields)), "op", OPERATIONS)
    edit, items = edits[0], [edit["properties"]["operations"]["items"] for edit in edits]
    edit["properties"]["type"]["default"] = "seat.changed"
    edit["properties"]["operations"]["items"] = {"oneOf": items}
    # The one rule between two objects: the edit names a subscription, or each of its operations does.
    named = {"anyOf": [_there("subscription_id"), _there("feature_code")]}
    each = {"properties": {"operations": {"items": named, "minItems": 1}}}
    return [edit | {"anyOf": [named, each]}]


def _there(name: str) -> Schema:
    return {"required": [name], "properties": {name: _NOT_NULL}}


def fact_schema(topic: str, facts: list[Schema]) -> Schema:
    """Of a topic that carries facts: flat, or as the data of a CloudEvent."""
    types = [_type(fact) for fact in facts]
    return _explained(
        {
            "$schema": DRAFT,
            "title": f"A fact of {topic}",
            "if": {"required": ["specversion"]},
            "then": {"$ref": "#/$defs/cloudevent"},
            "else": {"$ref": "#/$defs/fact"},
            "$defs": {
                "fact": _one_of([_flat(fact) for fact in facts]),
                "cloudevent": _event(facts),
                "common": {"type": "object", **_only(facts[0], _COMMON)},
                **{type: _own(fact) for type, fact in zip(types, facts, strict=True)},
                **DEFINITIONS,
            },
        }
    )


#: What an event says itself, its data need not say again.
_COMMON: Final = ("id", "customer_id", "time")


def _type(fact: Schema) -> str:
    held = fact["properties"]["type"]
    return str(held.get("const") or held["default"])


def _only(fact: Schema, names: Sequence[str]) -> Schema:
    return {
        "properties": {name: fact["properties"][name] for name in names},
        "required": [name for name in fact["required"] if name in names],
    }


def _own(fact: Schema) -> Schema:
    """What a fact has beside its type and what all facts have."""
    return fact | _only(fact, [name for name in fact["properties"] if name not in (*_COMMON, "type")])


def _one_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _flat(fact: Schema) -> Schema:
    return {
        "allOf": [{"$ref": "#/$defs/common"}, {"$ref": f"#/$defs/{_type(fact)}"}],
        **_only(fact, ["type"]),
    }


def _envelope() -> Schema:
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": SPECVERSION},
            "id": {"type": "string", "minLength": 1, "maxLength": ID_LENGTH},
            "source": {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "pattern": r"^[^\n]*$"},
        },
        "required": ["specversion", "id", "source", "type"],
    }


def _event(facts: list[Schema]) -> Schema:
    return {
        "description": "The same as a structured CloudEvent 1.0: `source` and `id` together name the fact, `subject` is the"
        " customer, `data` holds the rest.",
        **_envelope(),
        "allOf": [
            _said_once(facts[0], "time", "time"),
            _said_once(facts[0], "subject", "customer_id"),
            _one_of([{"properties": {"type": {"const": _type(fact)}}, "anyOf": _data(fact)} for fact in facts]),
        ],
    }


def _data(fact: Schema) -> list[Schema]:
    """As an object, or in base64, which no schema looks into; where nothing is needed, there may be none."""
    held = [{"required": ["data"], "properties": {"data": {"$ref": f"#/$defs/{_type(fact)}"}}}, _ENCODED]
    none = {"properties": {"data": {"type": "null"}, "data_base64": {"type": "null"}}}
    return held if _own(fact)["required"] else [*held, none]


def _said_once(fact: Schema, attribute: str, name: str) -> Schema:
    """By the event, or else by its data."""
    held = fact["properties"][name]
    within = {"data": {"required": [name], "properties": {name: held}}}
    return {
        "if": _there(attribute),
        "then": {"properties": {attribute: held}},
        "else": {"anyOf": [{"required": ["data"], "properties": within}, _ENCODED]},
    }


_ENCODED: Final[Schema] = {
    "properties": {"data": {"type": "null"}, "data_base64": {"type": "string", "contentEncoding": "base64"}},
    "required": ["data_base64"],
}


# --- rules and ticks -------------------------------------------------------------------------------------------------


def rule_schema() -> Schema:
    """A rule, or the end of one. What only some metrics and scopes know is said for each of them."""
    rules = [
        asked(_rule, {"metric": metric, "scope": scope})
        for metrics, scopes in ((LEFT, CREDIT_SCOPES), (USED, SEAT_SCOPES))
        for metric in metrics
        for scope in scopes
    ]
    archived = {"required": ["archived"], "properties": {"archived": {"const": True}}}
    rule = {
        "type": "object",
        "properties": {"rule_id": rules[0]["properties"]["rule_id"], "archived": {"type": ["boolean", "null"]}},
        "required": ["rule_id"],
        "if": archived,
        "else": _factored(rules),
    }
    event = _envelope() | {
        "properties": _envelope()["properties"]
        | {"type": {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH}},
        "anyOf": [{"required": ["data"], "properties": {"data": {"$ref": "#/$defs/rule"}}}, _ENCODED],
    }
    return _explained(
        {
            "$schema": DRAFT,
            "title": "A rule of alert-rule",
            "if": {"required": ["specversion"]},
            "then": {"$ref": "#/$defs/cloudevent"},
            "else": {"$ref": "#/$defs/rule"},
            "$defs": {
                "rule": rule,
                "cloudevent": {"description": "The same as a structured CloudEvent 1.0.", **event},
                **{name: DEFINITIONS[name] for name in ("amount", "span")},
            },
        }
    )


def _rule(fields: Fields) -> None:
    rule_of(fields, fields.text("rule_id"))


def _factored(schemas: list[Schema]) -> Schema:
    """What all have in common once, and then what is different."""
    held = [schema["properties"] for schema in schemas]
    same = {name for name in held[0] if all(name in one and one[name] == held[0][name] for one in held)}
    different: list[Schema] = []
    for schema in schemas:
        rest = {name: one for name, one in schema["properties"].items() if name not in same}
        alike = next((one for one in different if one | {"metric": None} == rest | {"metric": None}), None)
        if alike is None:
            different.append(rest | {"metric": {"enum": [rest["metric"]["const"]]}})
        else:
            alike["metric"]["enum"].append(rest["metric"]["const"])
    return _only(schemas[0], [name for name in held[0] if name in same]) | {
        "type": "object",
        "required": schemas[0]["required"],
        "oneOf": [{"type": "object", "properties": one} for one in different],
    }


def control_schema() -> Schema:
    """Beside ticks, `control` carries copies of rules, which are our own affair."""
    held = {"title": "A tick of control", **asked(control, {"type": "tick"})}
    return {"$schema": DRAFT, **held, "$defs": {"instant": DEFINITIONS["instant"]}}


# --- what the files say ----------------------------------------------------------------------------------------------


def _explained(schema: Schema) -> Schema:
    """With the meaning of each field that has one."""
    explained = {key: _each(held) for key, held in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        explained["properties"] = {
            name: {"description": MEANINGS[name], **held} if name in MEANINGS else held
            for name, held in explained["properties"].items()
        }
    return explained


def _each(held: Any) -> Any:
    if isinstance(held, list):
        return [_each(one) for one in held]
    return _explained(held) if isinstance(held, dict) else held


def documents() -> dict[str, Schema]:
    """Each file by its name."""
    schemas = {
        "contract-change": fact_schema("contract-change", contract_changes()),
        "seat-change": fact_schema("seat-change", seat_changes()),
        "credit-burn": fact_schema("credit-burn", credit_burns()),
        "alert-rule": rule_schema(),
        "control": control_schema(),
        "threshold-alert": {"$schema": DRAFT, "title": "A message of threshold-alert", **THRESHOLD_ALERT},
        "history-snapshot": {"$schema": DRAFT, "title": "A message of history-snapshot", **HISTORY_SNAPSHOT},
        "dead-letter.headers": {"$schema": DRAFT, "title": "The headers of a dead letter", **DEAD_LETTER_HEADERS},
    }
    return {f"{name}.schema.json": schema for name, schema in schemas.items()} | {"asyncapi.json": asyncapi()}


def asyncapi() -> Schema:
    """All topics, from the view of SeatStream: it receives facts and sends what follows from them."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SeatStream",
            "version": "1.0.0",
            "description": "Seats and credits per customer: facts in, balances, seat counts and refusals out. Topic names may"
            " carry a prefix (SEATSTREAM_PREFIX). Everything of a customer is in one partition, the same number in each"
            " topic.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, summary) for name, (_, summary) in _CHANNELS.items()},
        "operations": {
            f"{action}-{name}": {"action": action, "channel": {"$ref": f"#/channels/{name}"}, "summary": summary}
            for name, (action, summary) in _CHANNELS.items()
        },
        "components": {"messages": {name: _message(name) for name in _CHANNELS}},
    }


_CHANNELS: Final = {
    "contract-change": ("receive", "Contracts, subscriptions, recurring credits, grants, voids, adjustments, resets."),
    "seat-change": ("receive", "Atomic edits of seats and quantities."),
    "credit-burn": ("receive", "Usage that burns credits, and burns taken back."),
    "alert-rule": ("receive", "Lines that are drawn, for one customer or for all; compacted."),
    "control": ("receive", "What moves time, in each partition by its number."),
    "threshold-alert": ("send", "The news that a line was crossed, and what became of it."),
    "history-snapshot": ("send", "Seat counts, charges, balances, and corrections where the past became another."),
    "dead-letter": ("send", "What could not be read or was refused, whole, with the reason in its headers."),
}


def _channel(name: str, summary: str) -> Schema:
    return {
        "address": name,
        "summary": summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topic": name, "bindingVersion": "0.5.0"}},
    }


def _message(name: str) -> Schema:
    if name == "dead-letter":
        # Its value is whatever was sent.
        return {"headers": _file("dead-letter.headers")} | _keyed("The key of the original.")
    if name == "control":
        return {"payload": _file(name)}
    if name == "alert-rule":
        return {"payload": _file(name)} | _keyed("The rule_id in UTF-8; a null value archives the rule.")
    return {"payload": _file(name)} | _keyed("The customer_id in UTF-8; it decides the partition.")


def _keyed(description: str) -> Schema:
    return {"bindings": {"kafka": {"key": {"type": "string", "description": description}, "bindingVersion": "0.5.0"}}}


def _file(name: str) -> Schema:
    return {
        "schemaFormat": "application/schema+json;version=draft-2020-12",
        "schema": {"$ref": f"./{name}.schema.json"},
    }


def texts() -> dict[str, str]:
    """Each file by its name, as it stands on the disk."""
    return {name: _written(held) + "\n" for name, held in documents().items()}


def _written(value: Any, indent: str = "") -> str:
    """JSON in lines that are neither long nor all alike: what fits into one line stands in one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = f"{indent}  "
    if isinstance(value, list):
        held = [_written(one, deeper) for one in value]
        opens, closes = "[]"
    else:
        held = [f"{json.dumps(key)}: {_written(one, deeper)}" for key, one in value.items()]
        opens, closes = "{}"
    return f"{opens}\n{deeper}" + f",\n{deeper}".join(held) + f"\n{indent}{closes}"


if __name__ == "__main__":
    place = Path(*sys.argv[1:]) if sys.argv[1:] else PLACE
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        place.joinpath(name).write_text(text)
        print(place / name)

"""JSON Schemas of what comes in, from the very code that reads it.

A reader (`wire.contracts`, `wire.seats`, ...) asks the fields of an object for texts, amounts, choices. `Asked` takes the
object's place: it answers whatever lets the reader go on, and writes down what it was asked. So a schema can neither
forget a field nor know another bound than the reader.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ledger.amounts import Amount
from ledger.instants import Every, Instant, Span
from wire.fields import LABEL_LENGTH, NAME_LENGTH, NEVER, QUANTITY_MOST, Fields

Schema = dict[str, Any]
T = TypeVar("T", bound=str)
A = TypeVar("A")

_NULL: Final[Schema] = {"type": "null"}
_SAMPLE: Final[Instant] = 0

# Amounts below 10^15 with at most 9 decimals; written with an exponent, only the reader can tell.
_DIGITS = r"0*[0-9]{1,15}(\.[0-9]{1,9}0*)?"
_EXPONENT = r"[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]+"
_ANY = f"({_DIGITS}|{_EXPONENT})$"
_NOT_ZERO = r"(?=[0-9.]*[1-9])"

DEFINITIONS: Final[Mapping[str, Schema]] = {
    "instant": {
        "description": "RFC 3339 with an offset, years 0001 to 9999; digits beyond the microsecond are dropped.",
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        r"(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    },
    "duration": {
        "description": "ISO 8601, a whole number of one unit, an hour at least: PT1H, P1D, P1W, P3M, P1Y.",
        "type": "string",
        "pattern": r"^P(?=T?[0-9]*[1-9])([0-9]{1,6}[DWMY]|T[0-9]{1,6}H)$",
    },
    "span": {
        "description": "ISO 8601, a whole number of one unit of fixed length: PT30S, PT10M, PT1H, P1D, P1W.",
        "type": "string",
        "pattern": r"^P([0-9]{1,6}[DW]|T[0-9]{1,6}[HMS])$",
    },
    "amount": {
        "description": "A decimal below 10^15 with at most 9 decimals, as a string or as a number; 0 or more.",
        "anyOf": [
            {"type": "string", "pattern": rf"^(-0+(\.0+)?([eE][+-]?[0-9]+)?$|{_ANY})"},
            {"type": "number", "minimum": 0, "exclusiveMaximum": 10**15},
        ],
    },
    "positive_amount": {
        "description": "A decimal above 0 and below 10^15 with at most 9 decimals, as a string or as a number.",
        "anyOf": [
            {"type": "string", "pattern": rf"^{_NOT_ZERO}{_ANY}"},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**15},
        ],
    },
    "signed_amount": {
        "description": "A decimal below 10^15 in magnitude with at most 9 decimals, as a string or as a number; not 0.",
        "anyOf": [
            {"type": "string", "pattern": rf"^-?{_NOT_ZERO}{_ANY}"},
            {
                "type": "number",
                "exclusiveMinimum": -(10**15),
                "exclusiveMaximum": 10**15,
                "not": {"const": 0},
            },
        ],
    },
}


def variants(read: Callable[[Fields], object], tag: str, values: Sequence[str]) -> list[Schema]:
    """What the reader asks for, for each value of a field that decides what the others are."""
    return [asked(read, {tag: value}) for value in values]


def asked(read: Callable[[Fields], object], chosen: Mapping[str, str]) -> Schema:
    """What the reader asks for where these fields have these values."""
    fields = Asked(chosen)
    read(fields)
    return fields.schema()


class Asked(Fields):
    """An object that is not there. Every optional field is answered as if it were."""

    def __init__(self, chosen: Mapping[str, str], path: str = "") -> None:
        super().__init__({}, path)
        self._chosen = chosen
        self._properties: dict[str, Schema] = {}
        self._objects: dict[str, Asked] = {}
        self._required: list[str] = []
        self._rules: list[Schema] = []

    def schema(self) -> Schema:
        for name, asked in self._objects.items():
            _fill(self._properties[name], asked.schema())
        schema: Schema = {"type": "object", "properties": self._properties}
        if self._required:
            schema["required"] = self._required
        if self._rules:
            schema["allOf"] = self._rules
        return schema

    # --- what a reader says about fields ------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        raise TypeError(f"{self.at(name)}: a schema cannot tell what follows; ask by another method")

    def needs(self, name: str, said: str, *, where: str, value: str | None = None) -> None:
        there: Schema = {"not": _NULL} if value is None else {"const": value}
        self._rules.append(
            {
                "if": {"properties": {where: there}, "required": [where]},
                "then": {"properties": {name: {"not": _NULL}}, "required": [name]},
            }
        )

    def never(self, name: str, said: str, *, but: object = None) -> None:
        self._properties[name] = _NULL if but is None else {"enum": [but, None]}

    # --- and what it asks for -----------------------------------------------------------------------------------------

    def text(self, name: str, most: int = NAME_LENGTH) -> str:
        return self._ask(name, _text(1, most), "x")

    def maybe_text(self, name: str, most: int = NAME_LENGTH) -> str | None:
        return self._may(name, _text(1, most), "x")

    def url(self, name: str, most: int) -> str:
        return self._ask(name, _text(1, most) | {"format": "uri", "pattern": "^https?://"}, "https://")

    def label(self, name: str) -> str:
        return self._ask(name, _text(0, LABEL_LENGTH), "x")

    def maybe_label(self, name: str) -> str | None:
        return self._may(name, _text(0, LABEL_LENGTH), "x")

    def choice(self, name: str, choices: tuple[T, ...]) -> T:
        if name in self._chosen:
            chosen = next(choice for choice in choices if choice == self._chosen[name])
            return self._ask(name, {"const": chosen}, chosen)
        return self._ask(name, {"enum": [*choices]}, choices[0])

    def maybe_choice(self, name: str, choices: tuple[T, ...]) -> T | None:
        self._properties[name] = {"enum": [*choices, None]}
        return choices[0]

    def choice_or(self, name: str, choices: tuple[T, ...], default: T) -> T:
        chosen = self._chosen.get(name)
        if chosen is None or chosen == default:
            self._properties[name] = {"enum": [*(choices if chosen is None else (default,)), None], "default": default}
            return default
        return self.choice(name, choices)

    def integer(self, name: str, least: int = 0, most: int = QUANTITY_MOST, *, zero: bool = True) -> int:
        return self._ask(name, _integer(least, most) | ({} if zero else {"not": {"const": 0}}), 1)

    def maybe_integer(self, name: str, least: int = 0, most: int = QUANTITY_MOST) -> int | None:
        return self._may(name, _integer(least, most), 1)

    def amount(self, name: str, least: Amount | None = 0, *, zero: bool = True) -> Amount:
        return self._ask(name, _amount(least, zero), 1)

    def maybe_amount(self, name: str, least: Amount | None = 0) -> Amount | None:
        return self._may(name, _amount(least, True), 1)

    def amounts(self, name: str, most: int) -> list[Amount]:
        items = {"type": "array", "items": _amount(0, True), "minItems": 1, "maxItems": most}
        return self._ask(name, items, [1])

    def flag(self, name: str) -> bool | None:
        return self._may(name, {"type": "boolean"}, True)

    def instant(self, name: str) -> Instant:
        return self._ask(name, _defined("instant"), _SAMPLE)

    def maybe_instant(self, name: str) -> Instant | None:
        return self._may(name, _defined("instant"), _SAMPLE)

    def maybe_end(self, name: str) -> Instant | None:
        self._properties[name] = {"anyOf": [_defined("instant"), {"const": NEVER}, _NULL]}
        return _SAMPLE

    def every(self, name: str) -> Every:
        return self._ask(name, _defined("duration"), Every(1, "month"))

    def maybe_every(self, name: str) -> Every | None:
        return self._may(name, _defined("duration"), Every(1, "month"))

    def maybe_span(self, name: str, least: Span) -> Span | None:
        return self._may(name, _defined("span"), least)

    def object(self, name: str) -> Fields | None:
        asked = self._objects[name] = Asked({}, f"{self.at(name)}.")
        self._properties[name] = {"anyOf": [{}, _NULL]}
        return asked

    def objects(self, name: str, most: int, *, needed: bool = False) -> list[Fields]:
        # What decides within an object is decided for the whole of it, lists included.
        asked = self._objects[name] = Asked(self._chosen, f"{self.at(name)}[].")
        self._list(name, {}, most, needed)
        return [asked]

    def ids_or_objects(self, name: str, most: int, *, needed: bool = False) -> list[str | Fields]:
        asked = self._objects[name] = Asked({}, f"{self.at(name)}[].")
        self._list(name, {"anyOf": [_text(1, NAME_LENGTH), {}]}, most, needed)
        return [asked]

    def integer_or_map(self, name: str, least: int, most: int) -> int | dict[str, int] | None:
        number = _integer(least, most)
        self._properties[name] = {
            "anyOf": [number, {"type": "object", "additionalProperties": {"anyOf": [number, _NULL]}}, _NULL]
        }
        return {}

    def items(self, name: str, most: int, needed: bool = False) -> list[Any]:
        raise TypeError(f"{self.at(name)}: a schema cannot tell what is read from these; ask by another method")

    # --- writing down -------------------------------------------------------------------------------------------------

    def _ask(self, name: str, schema: Schema, answer: A) -> A:
        self._properties[name] = schema
        if name not in self._required:
            self._required.append(name)
        return answer

    def _may(self, name: str, schema: Schema, answer: A) -> A:
        self._properties[name] = (
            schema | {"type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, _NULL]}
        )
        return answer

    def _list(self, name: str, items: Schema, most: int, needed: bool) -> None:
        schema = {"type": "array", "items": items, "maxItems": most}
        if needed:
            self._ask(name, schema, None)
        else:
            self._may(name, schema, None)


def _fill(holder: Schema, held: Schema) -> None:
    """Puts an object's schema where its place was left empty."""
    if "items" in holder:
        if "anyOf" in holder["items"]:
            holder["items"]["anyOf"][1] = held
        else:
            holder["items"] = held
    else:
        holder["anyOf"][0] = held


def _text(least: int, most: int) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": most}


def _integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _amount(least: Amount | None, zero: bool) -> Schema:
    if least is None:
        return _defined("signed_amount")
    return _defined("amount" if least == 0 and zero else "positive_amount")


def _defined(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}

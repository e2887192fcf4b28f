"""One JSON object, read field by field; whatever does not fit is said with its path and with what to do.

`null` is the same as leaving a field out, and unknown fields are not looked at. Numbers never pass through a binary
float: the parser hands every fraction over as the text that was sent.
"""

from collections.abc import Sequence
from decimal import Decimal
from re import DOTALL, compile
from typing import Any, Final, TypedDict, TypeVar
from urllib.parse import urlsplit

import msgspec

from ledger import amounts, instants
from ledger.amounts import Amount, AmountError
from ledger.facts import OnUnknown, Recurrence, Rollover, Rounding
from ledger.instants import FOREVER, Every, Instant, InstantError, Span

ID_LENGTH = 128
NAME_LENGTH = 200
#: What people read (a name, a reason, a unit) and no rule looks at; it lives in the state, so it has a bound.
LABEL_LENGTH = 1_000
#: A CloudEvent is named by its source and its id together, with a line feed between them.
IDENTITY_LENGTH = NAME_LENGTH + 1 + ID_LENGTH

QUANTITY_MOST = 1_000_000_000
PRIORITY_MOST = 2**31 - 1
SEQUENCE_MOST = 2**63 - 1
NEVER = "never"

T = TypeVar("T", bound=str)


class Unfit(Exception):
    """Inside the codec only: this field does not fit. `said` goes on after the field's name."""

    def __init__(self, code: str, field: str | None, said: str) -> None:
        super().__init__(f"{field or 'the message'} {said}")
        self.code = code
        self.field = field
        self.said = said


class Common(TypedDict):
    """What every fact has."""

    id: str
    customer_id: str
    time: Instant
    on_unknown: OnUnknown


class Number:
    """A JSON number with a fraction or an exponent, as it was written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: Final = text


class Fields:
    """The fields of one JSON object; `path` is what stands before each of their names."""

    __slots__ = ("_held", "path")

    def __init__(self, held: dict[str, Any], path: str = "") -> None:
        self._held = held
        self.path = path

    def has(self, name: str) -> bool:
        return self._held.get(name) is not None

    def at(self, name: str) -> str:
        return self.path + name

    def refuse(self, code: str, name: str, said: str) -> Unfit:
        return Unfit(code, self.at(name), said)

    def needs(self, name: str, said: str, *, where: str, value: str | None = None) -> None:
        """Refuses where `where` is there (and is `value`, if one is named) and `name` is left out."""
        if self.has(where) and value in (None, self._held[where]) and not self.has(name):
            raise self.refuse("missing_field", name, f"is missing; {said}")

    def never(self, name: str, said: str, *, but: object = None) -> None:
        """Refuses a field that means something elsewhere and nothing here, unless its value is `but`."""
        if self.has(name) and self._held[name] != but:
            raise self.refuse("unknown_value", name, said)

    # --- texts -------------------------------------------------------------------------------------------------------

    def text(self, name: str, most: int = NAME_LENGTH) -> str:
        """An id of 1 to `most` characters (code points)."""
        return _text(self._needed(name, f"a text of 1 to {most} characters"), self.at(name), 1, most)

    def maybe_text(self, name: str, most: int = NAME_LENGTH) -> str | None:
        value = self._held.get(name)
        return None if value is None else _text(value, self.at(name), 1, most)

    def url(self, name: str, most: int) -> str:
        url = self.text(name, most)
        if not is_http(url):
            said = "is no http address; give one that begins with https:// or http:// and names a host in ASCII"
            raise self.refuse("unknown_value", name, said)
        return url

    def label(self, name: str) -> str:
        return _text(self._needed(name, "a text"), self.at(name), 0, LABEL_LENGTH)

    def maybe_label(self, name: str) -> str | None:
        value = self._held.get(name)
        return None if value is None else _text(value, self.at(name), 0, LABEL_LENGTH)

    def choice(self, name: str, choices: tuple[T, ...]) -> T:
        """One of the texts that are allowed here."""
        wanted = _one_of(choices)
        value = self._needed(name, wanted)
        if not isinstance(value, str):
            raise self.refuse("wrong_type", name, f"is {_shown(value)}; give {wanted}")
        if value not in choices:
            raise self.refuse("unknown_value", name, f"is {_shown(value)}; give {wanted}")
        return value

    def maybe_choice(self, name: str, choices: tuple[T, ...]) -> T | None:
        return self.choice(name, choices) if self.has(name) else None

    def choice_or(self, name: str, choices: tuple[T, ...], default: T) -> T:
        return self.choice(name, choices) if self.has(name) else default

    # --- numbers -----------------------------------------------------------------------------------------------------

    def integer(self, name: str, least: int = 0, most: int = QUANTITY_MOST, *, zero: bool = True) -> int:
        number = _integer(self._needed(name, _between(least, most)), self.at(name), least, most)
        if number == 0 and not zero:
            raise self.refuse("unknown_value", name, _ZERO)
        return number

    def maybe_integer(self, name: str, least: int = 0, most: int = QUANTITY_MOST) -> int | None:
        value = self._held.get(name)
        return None if value is None else _integer(value, self.at(name), least, most)

    def amount(self, name: str, least: Amount | None = 0, *, zero: bool = True) -> Amount:
        """An exact amount, not below `least`."""
        amount = _amount(self._needed(name, 'a decimal such as "1.25"'), self.at(name), least)
        if amount == 0 and not zero:
            raise self.refuse("unknown_value", name, _ZERO)
        return amount

    def maybe_amount(self, name: str, least: Amount | None = 0) -> Amount | None:
        return self.amount(name, least) if self.has(name) else None

    def amounts(self, name: str, most: int) -> list[Amount]:
        """At least one exact amount, none below 0, at most so many."""
        items = self.items(name, most, needed=True)
        if not items:
            raise self.refuse("missing_field", name, f"is empty; give 1 to {most} amounts")
        return [_amount(item, f"{self.at(name)}[{i}]", 0) for i, item in enumerate(items)]

    def flag(self, name: str) -> bool | None:
        value = self._held.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.refuse("wrong_type", name, f"is {_shown(value)}; give true or false")

    # --- time --------------------------------------------------------------------------------------------------------

    def instant(self, name: str) -> Instant:
        return _instant(self._needed(name, _INSTANT), self.at(name), _INSTANT)

    def maybe_instant(self, name: str) -> Instant | None:
        value = self._held.get(name)
        return None if value is None else _instant(value, self.at(name), _INSTANT)

    def maybe_end(self, name: str) -> Instant | None:
        """An instant, or "never" to lift an end."""
        value = self._held.get(name)
        if value is None:
            return None
        return FOREVER if value == NEVER else _instant(value, self.at(name), f'{_INSTANT}, or "{NEVER}"')

    def every(self, name: str) -> Every:
        return _every(self._needed(name, _EVERY), self.at(name))

    def maybe_every(self, name: str) -> Every | None:
        value = self._held.get(name)
        return None if value is None else _every(value, self.at(name))

    def maybe_span(self, name: str, least: Span) -> Span | None:
        """A fixed duration: months and years are none."""
        value = self._held.get(name)
        return None if value is None else _span(value, self.at(name), least)

    # --- objects -----------------------------------------------------------------------------------------------------

    def object(self, name: str) -> "Fields | None":
        value = self._held.get(name)
        return None if value is None else _object(value, self.at(name))

    def objects(self, name: str, most: int, *, needed: bool = False) -> "list[Fields]":
        """Up to `most` objects."""
        return [_object(value, f"{self.at(name)}[{i}]") for i, value in enumerate(self.items(name, most, needed))]

    def ids_or_objects(self, name: str, most: int, *, needed: bool = False) -> "list[str | Fields]":
        """The same, where an id of up to 200 characters may stand for an object."""
        return [_id_or_object(value, self.at(name), i) for i, value in enumerate(self.items(name, most, needed))]

    def integer_or_map(self, name: str, least: int, most: int) -> int | dict[str, int] | None:
        """A number, or an object that has one for each of its fields."""
        if not isinstance(self._held.get(name), dict):
            return self.maybe_integer(name, least, most)
        held = Fields(self._held[name], f"{self.at(name)}.")
        return {one: held.integer(one, least, most) for one in held._held if held.has(one)}

    def items(self, name: str, most: int, needed: bool = False) -> list[Any]:
        """The elements of a list, unread; none where the field is left out and not `needed`."""
        value = self._needed(name, "a list") if needed else self._held.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refuse("wrong_type", name, f"is {_shown(value)}; give a list")
        if len(value) > most:
            raise self.refuse("too_large", name, f"holds {len(value):,}; give at most {most:,} at once")
        return value

    def recurrence(self, name: str, every: Every | None, anchor: Instant) -> Recurrence | None:
        """`{every, anchor}` with these defaults; `every` is needed where it has none."""
        held = self.object(name)
        if held is None:
            return None
        step = held.every("every") if every is None else held.maybe_every("every") or every
        start = held.maybe_instant("anchor")
        return Recurrence(every=step, anchor=anchor if start is None else start)

    def rollover(self, name: str) -> Rollover | None:
        held = self.object(name)
        if held is None:
            return None
        least, most = held.maybe_amount("min") or 0, held.maybe_amount("max")
        if most is not None and most < least:
            raise held.refuse(
                "unknown_value", "max", f"is {amounts.text(most)}, below `min`; give {amounts.text(least)} or more"
            )
        return Rollover(min=least, max=most)

    def rounding(self, name: str) -> Rounding | None:
        held = self.object(name)
        if held is None:
            return None
        decimals = held.maybe_integer("decimals", -5, amounts.DIGITS)
        return Rounding(
            method=held.maybe_choice("method", METHODS) or "half_up",
            decimals=amounts.DIGITS if decimals is None else decimals,
        )

    def _needed(self, name: str, wanted: str) -> Any:
        value = self._held.get(name)
        if value is None:
            raise self.refuse("missing_field", name, f"is missing; give {wanted}")
        return value


def common(fields: Fields, id_length: int = ID_LENGTH) -> Common:
    return {
        "id": fields.text("id", id_length),
        "customer_id": fields.text("customer_id"),
        "time": fields.instant("time"),
        "on_unknown": fields.maybe_choice("on_unknown", ON_UNKNOWN) or "wait",
    }


# --- bytes to objects ------------------------------------------------------------------------------------------------

#: Nesting is bounded, so that whether a message can be read never depends on how deep the reader's own stack is.
DEPTH_MOST = 256

_parse = msgspec.json.Decoder(float_hook=Number).decode
# Atomic, and never without a match: no text, however it is broken, is looked at twice.
_STRING = compile(rb'"(?>[^"\\]+|\\.)*+(?:"|\\?\Z)', DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_OPENS = b"[{"


def parse(value: bytes) -> dict[str, Any]:
    """The JSON object that these bytes hold; of a field that comes twice, the last counts."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise Unfit("unreadable", None, f"is not UTF-8 (byte {error.start}); send one JSON object in UTF-8") from None
    try:
        held = _parse(value)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Unfit("unreadable", None, f"is not JSON ({error}); send one JSON object in UTF-8") from None
    if not isinstance(held, dict):
        raise Unfit("unreadable", None, f"is {_shown(held)}; send one JSON object")
    if value.count(b"{") + value.count(b"[") > DEPTH_MOST and _is_too_deep(value):
        raise _too_deep()
    return held


def _is_too_deep(value: bytes) -> bool:
    depth = 0
    for bracket in _STRING.sub(b"", value).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in _OPENS else -1
        if depth > DEPTH_MOST:
            return True
    return False


def _too_deep() -> Unfit:
    return Unfit("unreadable", None, f"is nested deeper than {DEPTH_MOST} levels; send a flatter object")


# --- values ----------------------------------------------------------------------------------------------------------

ON_UNKNOWN: Final = ("wait", "refuse")
METHODS: Final = ("half_up", "floor", "ceiling")

_INSTANT = "an RFC 3339 instant with an offset, such as 2026-03-16T09:30:00Z"
_HOURS = "a duration of hours, days or weeks, an hour at least, such as PT1H, P1D or P1W"
_MINUTES = "a duration of seconds, minutes, hours, days or weeks, such as PT10M"
_EVERY = "a duration of one unit, an hour at least, such as PT1H, P1D, P1W, P3M or P1Y"


def _text(value: Any, path: str, least: int, most: int) -> str:
    if not isinstance(value, str):
        raise Unfit("wrong_type", path, f"is {_shown(value)}; give a text of {least} to {most} characters")
    if len(value) > most:
        raise Unfit("too_large", path, f"has {len(value)} characters; give a text of {least} to {most}")
    if len(value) < least:
        raise Unfit("unknown_value", path, f"is empty; give a text of {least} to {most} characters")
    return value


def _integer(value: Any, path: str, least: int, most: int) -> int:
    number = _whole(value)
    if number is None:
        raise Unfit("wrong_type", path, f"is {_shown(value)}; give {_between(least, most)}")
    if not least <= number <= most:
        raise Unfit("unknown_value", path, f"is {_shown(value)}; give {_between(least, most)}")
    return number


def _whole(value: Any) -> int | None:
    """Some languages write a whole number as 5.0 or 5e0."""
    if type(value) is int:
        return value
    if isinstance(value, Number):
        number = Decimal(value.text)
        # Looked at before it is written out: an exponent is quickly said.
        if number.adjusted() > len(str(SEQUENCE_MOST)) or number != number.to_integral_value():
            return None
        return int(number)
    return None


def _amount(value: Any, path: str, least: Amount | None) -> Amount:
    if isinstance(value, Number):
        said = value.text
    elif type(value) is int:
        said = str(value)
    elif isinstance(value, str):
        said = value
    else:
        raise Unfit("wrong_type", path, f'is {_shown(value)}; give a decimal such as "1.25"')
    try:
        amount = amounts.parse(said)
    except AmountError as error:
        raise Unfit(error.code, path, f"is {_shown(value)}; {_AMOUNTS[error.code]}") from None
    if least is not None and amount < least:
        wanted = "an amount of 0 or more" if least == 0 else "an amount above 0"
        raise Unfit("amount_out_of_range", path, f"is {_shown(value)}; give {wanted}")
    return amount


_ZERO = "is 0 and would change nothing; give a number above or below 0"
_AMOUNTS = {
    "wrong_type": 'give a decimal such as "1.25"',
    "amount_too_fine": "give at most 9 digits after the point: nothing is rounded in silence",
    "amount_out_of_range": "give an amount below 10^15",
}


def _instant(value: Any, path: str, wanted: str) -> Instant:
    if isinstance(value, str):
        try:
            return instants.instant(value)
        except InstantError:
            pass
    raise Unfit("wrong_type", path, f"is {_shown(value)}; give {wanted}")


def _every(value: Any, path: str) -> Every:
    if isinstance(value, str):
        try:
            return instants.every(value)
        except InstantError:
            pass
    raise Unfit("wrong_type", path, f"is {_shown(value)}; give {_EVERY}")


def _span(value: Any, path: str, least: Span) -> Span:
    wanted = _HOURS if least else _MINUTES
    if isinstance(value, str):
        try:
            span = instants.span(value)
        except InstantError:
            pass
        else:
            if span < least:
                raise Unfit("unknown_value", path, f"is {_shown(value)}; give {wanted}")
            return span
    raise Unfit("wrong_type", path, f"is {_shown(value)}; give {wanted}")


def _object(value: Any, path: str) -> Fields:
    if not isinstance(value, dict):
        raise Unfit("wrong_type", path, f"is {_shown(value)}; give an object")
    return Fields(value, f"{path}.")


def _id_or_object(value: Any, path: str, i: int) -> str | Fields:
    if type(value) is str and 1 <= len(value) <= NAME_LENGTH:
        return value
    if isinstance(value, dict):
        return Fields(value, f"{path}[{i}].")
    # Neither: the one way to read it that is left says what is wrong with it.
    return Fields({"": value}, f"{path}[{i}]").text("")


def is_http(url: str) -> bool:
    """Whether it names a host that can be asked by HTTP, and names it in ASCII: what else looks like digits and dots may
    become the address of another host."""
    try:
        parts = urlsplit(url)
        return (
            url.startswith(("https://", "http://"))
            and bool(parts.hostname)
            and parts.netloc.isascii()
            and parts.port != 0
        )
    except ValueError:
        return False


def _between(least: int, most: int) -> str:
    return f"a whole number from {least:,} to {most:,}"


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join(f'"{choice}"' for choice in choices) if len(choices) < 3 else f"one of {', '.join(choices)}"


def _shown(value: Any) -> str:
    """What was sent, short enough for a sentence."""
    match value:
        case str():
            said = msgspec.json.encode(value[:40]).decode()
            return said if len(value) <= 40 else f'{said[:-1]}..."'
        case Number():
            said = value.text
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            said = (
                msgspec.json.encode(value).decode()
                if not isinstance(value, int) or isinstance(value, bool)
                else str(value)
            )
    return said if len(said) <= 40 else f"{said[:40]}..."

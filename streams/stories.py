"""Stories: facts as JSON lines, with notes and questions between them.

    {"note": "what is going on"}
    {"topic": "credit-burn", "id": "run-1", "customer_id": "acme", "amount": "1.25", "time": "2026-03-16T09:30:00Z"}
    {"at": "2026-03-17T00:00:00Z", "show": ["seats", "balances"], "customer_id": "acme"}

`topic` may be left out where the `type`, or the fields of an edit or a burn, make it evident. Without `customer_id` a
question is about every customer so far.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ledger.facts import AnyFact, Topic
from ledger.instants import Instant
from wire.codec import Unreadable, read
from wire.fields import Fields, Unfit, parse

Table = Literal["seats", "balances", "entries", "charges"]
TABLES: Final[tuple[Table, ...]] = ("seats", "balances", "entries", "charges")
TOPICS: Final[tuple[Topic, ...]] = ("contract-change", "seat-change", "credit-burn")


class Note(msgspec.Struct, frozen=True):
    text: str


class Question(msgspec.Struct, frozen=True):
    at: Instant
    show: tuple[Table, ...]
    customer_id: str | None


class Told(msgspec.Struct, frozen=True):
    """A fact, and the bytes that said it."""

    topic: Topic
    fact: AnyFact
    said: bytes


class Bad(msgspec.Struct, frozen=True):
    """A line that is none of these; `reason` names the field."""

    code: str
    reason: str


Step: TypeAlias = Note | Question | Told | Bad


def steps(lines: Iterable[bytes]) -> Iterator[tuple[int, Step]]:
    """What each line is, with its number; empty lines are passed by."""
    for number, line in enumerate(lines, 1):
        said = line.strip()
        if said:
            yield number, step(said)


def step(said: bytes, usual: Topic | None = None) -> Step:
    """What a line is. `usual` is the topic of facts that name none."""
    try:
        held = parse(said)
        if "note" in held:
            return Note(Fields(held).label("note"))
        if "at" in held:
            return _question(Fields(held))
        topic = usual if usual is not None and "topic" not in held else topic_of(held)
    except Unfit as unfit:
        return Bad(unfit.code, f"{unfit.field or 'the line'} {unfit.said}")
    fact = read(topic, None, said)
    if isinstance(fact, Unreadable):
        return Bad(fact.refusal.code, fact.refusal.message)
    return Told(topic, fact, said)


def topic_of(held: dict[str, Any]) -> Topic:
    """The topic that a line names, or the one that it must mean."""
    fields = Fields(held)
    named = fields.maybe_choice("topic", TOPICS)
    if named is not None:
        return named
    match held.get("type"):
        case "seat.changed":
            return "seat-change"
        case "credit.burned" | "burn.voided":
            return "credit-burn"
        case str():
            return "contract-change"
    if "operations" in held:
        return "seat-change"
    if "amount" in held:
        return "credit-burn"
    raise fields.refuse("missing_field", "topic", f"is missing; give one of {', '.join(TOPICS)}, or a `type`")


def _question(fields: Fields) -> Question:
    shown = [
        Fields({"": item}, f"show[{i}]").choice("", TABLES) for i, item in enumerate(fields.items("show", len(TABLES)))
    ]
    return Question(fields.instant("at"), tuple(shown) or ("seats", "balances"), fields.maybe_text("customer_id"))

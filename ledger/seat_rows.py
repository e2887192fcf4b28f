"""The seats of one subscription as rows: what was ordered, who sat where from when until when, how many there were.

The accepted operations are the truth; the other rows are what they fold to (L11), kept so that an ordinary edit touches
the seats that it names and no others. Nothing here knows a subscription's life: its mask lies above (D5).

| rows | key after the subscription's prefix | what for |
|---|---|---|
| `OPERATIONS` | instant, phase, time, sequence, id | a late edit folds again from its instant on |
| `SEAT` | seat id | its name and its intervals |
| `MOVES` | seat id, instant, order | the moves from and to a seat, a row for each of the two |
| `STEP` | instant | the counts after each instant that changed something |
| `TURN` | instant, seat id | who came or left at an instant |
| `HEAD` | | where the fold stands, so that the next edit goes on from there |
"""

from collections.abc import Iterator
from typing import Literal, TypeVar

import msgspec

from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from ledger.rows import Book, Kind, after, instant_key, instant_of, number_key, text_key, text_of

#: At the instant of a conversion, what was ordered by quantity comes before what is ordered by seat (D8).
BY_QUANTITY, BY_SEAT = 0, 1
#: Where an edit stands among the edits of a subscription: instant, phase, time, sequence, id (L11, D8).
Place = tuple[Instant, int, Instant, int, str]


class Interval(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A seat was assigned in `[came_at, left_at)`: `ORIGIN` for an initial seat, `FOREVER` while it is open. `came_by` and
    `left_by` are ids of edits; an initial seat came by none. Only the state after all edits of an instant counts (L11)."""

    came_at: Instant
    left_at: Instant = FOREVER
    came: Literal["assigned", "moved"] = "assigned"
    came_from: str | None = None
    carried_in: bool = False
    came_by: str = ""
    left: Literal["removed", "moved"] | None = None
    left_to: str | None = None
    carried_out: bool = False
    left_by: str = ""

    @property
    def coming(self) -> tuple[Instant, str, str | None, bool, str]:
        """How the seat came, whatever became of it afterwards."""
        return self.came_at, self.came, self.came_from, self.carried_in, self.came_by

    def reopened(self) -> "Interval":
        return Interval(self.came_at, FOREVER, self.came, self.came_from, self.carried_in, self.came_by)


class Said(Row):
    """What an edit said of a person. The last in L11's order counts, whenever it arrived (L15)."""

    value: str
    place: Place


class SeatRow(Row):
    intervals: list[Interval] = []
    name_said: Said | None = None
    email_said: Said | None = None

    @property
    def name(self) -> str | None:
        return None if self.name_said is None else self.name_said.value

    @property
    def email(self) -> str | None:
        return None if self.email_said is None else self.email_said.value

    def at(self, at: Instant) -> Interval | None:
        """The interval that holds an instant: the seat is assigned then."""
        for interval in reversed(self.intervals):
            if interval.came_at <= at:
                return interval if at < interval.left_at else None
        return None


#: Where a move stands among all that a contract's seats make at one instant, by L11 (time, sequence, edit, place in it), and
#: the number of its subscription.
MoveRank = tuple[Instant, int, str, int, int]
BEFORE_ALL: MoveRank = (ORIGIN, 0, "", 0, 0)


class Move(msgspec.Struct, frozen=True, gc=False):
    """A seat went from one id to another. `order` counts a subscription's moves of one instant, as they apply; `time`,
    `sequence` and `index` are those of the edit and of the operation in it."""

    at: Instant
    from_seat_id: str
    to_seat_id: str
    carry_balance: bool
    edit_id: str
    order: int
    time: Instant
    sequence: int
    index: int
    subscription: int

    @property
    def rank(self) -> MoveRank:
        return self.time, self.sequence, self.edit_id, self.index, self.subscription


class MoveRow(Row):
    """A move as one of its two seats has it."""

    other: str
    came: bool
    carry_balance: bool
    edit_id: str
    time: Instant
    sequence: int
    index: int


class StepRow(Row):
    """`edit_id`: the last edit of that instant that moved anything; empty for the initial seats."""

    assigned: int
    unassigned: int
    edit_id: str


class TurnRow(Row):
    came: bool


class Operation(Row):
    """What one operation asks, without who it is about in person. `index` is its place in the edit."""

    op: str
    index: int
    seat_ids: list[str] = []
    quantity: int = 0
    carry_balance: bool = False


class OperationsRow(Row):
    """What one edit asks of one subscription at one instant, in the order in which it applies."""

    starting_at: Instant
    phase: int
    time: Instant
    sequence: int
    id: str
    operations: list[Operation]

    @property
    def place(self) -> Place:
        return self.starting_at, self.phase, self.time, self.sequence, self.id


class HeadRow(Row):
    """`place` is that of the last edit folded, and the counts are those after it. `was_assigned` and `was_unassigned` are
    those before its instant, which may get more edits; `turned` seats differ from before that instant, `moves` moved in
    it. `stepped_at` is the last step's instant, `converted_at` that of the conversion to seats (D8)."""

    assigned: int
    unassigned: int
    was_assigned: int
    was_unassigned: int
    place: Place = (ORIGIN, 0, ORIGIN, 0, "")
    turned: int = 0
    moves: int = 0
    stepped_at: Instant = ORIGIN
    converted_at: Instant | None = None


OPERATIONS = Kind("state", b"O", OperationsRow)
SEAT = Kind("state", b"I", SeatRow)
MOVES = Kind("state", b"I", MoveRow)
STEP = Kind("state", b"Q", StepRow)
TURN = Kind("state", b"Q", TurnRow)
HEAD = Kind("state", b"Q", HeadRow)

R = TypeVar("R", bound=Row)


class Keys:
    """The keys of one subscription's rows, by its number within the customer."""

    def __init__(self, customer: int, subscription: int) -> None:
        self.subscription = subscription
        owner = number_key(customer) + number_key(subscription)
        self.operations = b"O" + owner
        self.seats = b"I" + owner + b"s"
        self.moves = b"I" + owner + b"m"
        self.steps = b"Q" + owner + b"s"
        self.turns = b"Q" + owner + b"t"
        self.head = b"Q" + owner + b"h"

    def operation(self, place: Place) -> bytes:
        at, phase, time, sequence, id = place
        return self.operations_from(at) + bytes([phase]) + instant_key(time) + instant_key(sequence) + text_key(id)

    def operations_from(self, at: Instant) -> bytes:
        return self.operations + instant_key(at)

    def seat(self, seat_id: str) -> bytes:
        return self.seats + text_key(seat_id)

    def seat_of(self, key: bytes) -> str:
        return text_of(key[len(self.seats) :])

    def move(self, seat_id: str, at: Instant, order: int) -> bytes:
        return self.moves_from(seat_id, at) + number_key(order)

    def moves_from(self, seat_id: str, at: Instant) -> bytes:
        return self.moves + text_key(seat_id) + instant_key(at)

    def step(self, at: Instant) -> bytes:
        return self.steps + instant_key(at)

    def step_of(self, key: bytes) -> Instant:
        return instant_of(key[len(self.steps) :])

    def turns_from(self, at: Instant) -> bytes:
        return self.turns + instant_key(at)

    def turn_of(self, key: bytes) -> str:
        return text_of(key[len(self.turns) + 8 :])


def load_head(book: Book, keys: Keys) -> HeadRow:
    """Where the fold stands; of a subscription that was not begun, at nothing."""
    return book.load(HEAD, keys.head) or HeadRow(0, 0, 0, 0)


def step_at(book: Book, keys: Keys, at: Instant) -> tuple[Instant, StepRow]:
    """The last step at or before an instant. There is one: the initial seats' (D8)."""
    head = load_head(book, keys)
    if head.stepped_at <= at:
        row = book.load(STEP, keys.step(head.stepped_at))
        return head.stepped_at, row or StepRow(0, 0, "")
    return step_before(book, keys, at + 1)


def step_before(book: Book, keys: Keys, at: Instant) -> tuple[Instant, StepRow]:
    """The last step before an instant."""
    for key, row in book.scan_lazily(STEP, keys.step(ORIGIN), keys.step(at), reverse=True):
        return keys.step_of(key), row
    return ORIGIN, StepRow(0, 0, "")


def step_after(book: Book, keys: Keys, at: Instant) -> Instant | None:
    """The instant of the first step after an instant."""
    if load_head(book, keys).stepped_at <= at:
        return None
    for key, _ in book.scan_lazily(STEP, keys.step(at + 1), keys.step(FOREVER)):
        return keys.step_of(key)
    return None


def steps_between(book: Book, keys: Keys, start: Instant, end: Instant) -> Iterator[tuple[Instant, StepRow]]:
    """The steps in `[start, end)`."""
    if load_head(book, keys).stepped_at < start:
        return
    for key, row in book.scan(STEP, keys.step(start), keys.step(end)):
        yield keys.step_of(key), row


def operations_since(book: Book, keys: Keys, start: Instant) -> list[OperationsRow]:
    """All that was ordered for an instant or later, in L11's order."""
    return [row for _, row in book.scan(OPERATIONS, keys.operations_from(start), after(keys.operations))]

"""Seats of a subscription over time (L11): how an edit folds, and every question about who sat where and how many.

What is asked here is raw: a subscription's life masks it (D5), and whoever asks knows the life from the contract. Only
`counts` and `history` speak of a contract and are masked.
"""

from collections.abc import Iterator

import msgspec

from ledger import instants
from ledger.answers import Counts
from ledger.billing import period_start, rises, whole_period
from ledger.contracts import ContractRow, SubscriptionRow
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.outcome import Refusal
from ledger.rows import Book, after, instant_of
from ledger.seat_edits import Edited, TouchedSeat, TouchedSteps, edit, name_seat
from ledger.seat_rows import (
    BY_QUANTITY,
    BY_SEAT,
    HEAD,
    MOVES,
    SEAT,
    STEP,
    TURN,
    HeadRow,
    Interval,
    Keys,
    Move,
    SeatRow,
    StepRow,
    load_head,
    operations_since,
    step_after,
    step_at,
    steps_between,
)

__all__ = [
    "Edited",
    "Interval",
    "Move",
    "SeatRow",
    "Segment",
    "Step",
    "TouchedSeat",
    "TouchedSteps",
    "begin",
    "convert",
    "counts",
    "edit",
    "history",
    "intervals",
    "is_assigned",
    "members",
    "moves",
    "next_step_after",
    "seat",
    "steps",
]


class Step(msgspec.Struct, frozen=True, gc=False):
    """The counts from `at` on, and the last edit that moved anything then; `ORIGIN` and "" for the initial seats."""

    at: Instant
    total: int
    assigned: int
    unassigned: int
    edit_id: str


class Segment(msgspec.Struct, frozen=True, gc=False):
    """A time in which no seat came or left; who came and left at its start. The first one of a life lists all it has."""

    from_at: Instant
    to_at: Instant
    quantity: int
    assigned: int
    unassigned: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


# --- what happens ----------------------------------------------------------------------------------------------------


def begin(book: Book, customer: int, subscription: SubscriptionRow) -> None:
    """The initial seats, there before every operation (D8). Once for each subscription, before its first edit."""
    keys, given = Keys(customer, subscription.number), subscription.given
    assigned = 0
    if given.mode == "seats":
        place = ORIGIN, BY_SEAT, ORIGIN, 0, ""
        rows: dict[str, SeatRow] = {}
        for named in given.seat_ids:
            rows[named.seat_id] = name_seat(rows.get(named.seat_id) or SeatRow([Interval(ORIGIN)]), named, place)
        for seat_id, row in rows.items():
            book.save(SEAT, keys.seat(seat_id), row)
        assigned, unassigned = len(rows), given.unassigned_seats
    else:
        unassigned = given.quantity
    book.save(STEP, keys.step(ORIGIN), StepRow(assigned, unassigned, ""))
    book.save(HEAD, keys.head, HeadRow(assigned, unassigned, assigned, unassigned))


def convert(book: Book, customer: int, subscription: SubscriptionRow, at: Instant) -> Refusal | TouchedSteps:
    """From mode quantity to mode seats: the quantity becomes unassigned seats, so no count changes (D8). Refused if it
    would strand an accepted operation; a subscription of mode seats stays as it is."""
    keys = Keys(customer, subscription.number)
    head = load_head(book, keys)
    if subscription.given.mode == "seats" or (head.converted_at is not None and head.converted_at <= at):
        return TouchedSteps(subscription, at)
    if head.place[0] > at:
        stranded = next((row for row in operations_since(book, keys, at + 1) if row.phase == BY_QUANTITY), None)
        if stranded is not None:
            return Refusal(
                code="wrong_mode",
                field="starting_at",
                message=f"edit {stranded.id}, accepted before, sets a quantity at {instants.text(stranded.starting_at)}",
                law="L11",
            )
    head.converted_at = at
    book.save(HEAD, keys.head, head)
    return TouchedSteps(subscription, at)


# --- who sat where ---------------------------------------------------------------------------------------------------


def seat(book: Book, customer: int, subscription: SubscriptionRow, seat_id: str) -> SeatRow | None:
    """A seat with its name, or None if no edit ever assigned it."""
    return book.load(SEAT, Keys(customer, subscription.number).seat(seat_id))


def intervals(book: Book, customer: int, subscription: SubscriptionRow, seat_id: str) -> list[Interval]:
    """When the seat was assigned, in order; never touching one another."""
    row = seat(book, customer, subscription, seat_id)
    return [] if row is None else row.intervals


def is_assigned(book: Book, customer: int, subscription: SubscriptionRow, seat_id: str, at: Instant) -> bool:
    row = seat(book, customer, subscription, seat_id)
    return row is not None and row.at(at) is not None


def moves(
    book: Book, customer: int, subscription: SubscriptionRow, seat_id: str, from_at: Instant, to_at: Instant
) -> Iterator[Move]:
    """The moves from or to a seat in `[from_at, to_at)`, in the order in which they apply, read one by one."""
    keys = Keys(customer, subscription.number)
    for key, row in book.scan_lazily(MOVES, keys.moves_from(seat_id, from_at), keys.moves_from(seat_id, to_at)):
        source, target = (row.other, seat_id) if row.came else (seat_id, row.other)
        at, order = instant_of(key[-12:-4]), int.from_bytes(key[-4:], "big")
        yield Move(
            at, source, target, row.carry_balance, row.edit_id, order, row.time, row.sequence, row.index,
            subscription.number,
        )  # fmt: skip


def members(book: Book, customer: int, subscription: SubscriptionRow, at: Instant) -> Iterator[tuple[str, SeatRow]]:
    """Who is assigned at an instant, by seat id. Reads a row for each seat that ever was."""
    keys = Keys(customer, subscription.number)
    for key, row in book.scan(SEAT, keys.seats, after(keys.seats)):
        if row.at(at) is not None:
            yield keys.seat_of(key), row


# --- how many --------------------------------------------------------------------------------------------------------


def steps(book: Book, customer: int, subscription: SubscriptionRow, from_at: Instant, to_at: Instant) -> list[Step]:
    """The counts in force at `from_at`, and each change of them, or of who is assigned, before `to_at`."""
    keys = Keys(customer, subscription.number)
    first = step_at(book, keys, from_at)
    return [_step(at, row) for at, row in (first, *steps_between(book, keys, from_at + 1, to_at))]


def next_step_after(book: Book, customer: int, subscription: SubscriptionRow, at: Instant) -> Instant | None:
    """When the counts, or who is assigned, change next after an instant, as known now."""
    return step_after(book, Keys(customer, subscription.number), at)


def counts(book: Book, customer: int, contract: ContractRow, subscription: SubscriptionRow, at: Instant) -> Counts:
    """The subscription at an instant, under the mask of its life (L11, L20, D5)."""
    settings = subscription.at(at)
    born, dies = contract.life(subscription)
    assigned = unassigned = paid = 0
    if born <= at < dies:
        _, step = step_at(book, Keys(customer, subscription.number), at)
        assigned, unassigned = step.assigned, step.unassigned
    if born <= at and born < dies:
        # What was paid for stays paid until its billing period is over, also past the end.
        lived = min(at, dies - 1)
        start = period_start(contract, subscription, lived)
        if at < dies or at < whole_period(subscription.at(lived).billing_period, lived)[1]:
            paid = max(rise.now for rise in rises(book, customer, contract, subscription, start, at + 1))
    total = assigned + unassigned
    included = settings.included_seats or 0
    return Counts(
        subscription_id=subscription.subscription_id,
        total=total,
        assigned=assigned,
        unassigned=unassigned,
        included=included,
        extra=max(0, total - included),
        paid=paid,
        pending_removals=paid - total,
        version=subscription.version,
        feature_code=settings.feature_code,
    )


def history(
    book: Book,
    customer: int,
    contract: ContractRow,
    subscription: SubscriptionRow,
    from_at: Instant = ORIGIN,
    to_at: Instant = FOREVER,
) -> Iterator[Segment]:
    """The segments of a subscription's life that meet `[from_at, to_at)`, whole, scheduled ones included."""
    born, dies = contract.life(subscription)
    if born >= dies or from_at >= dies or to_at <= born:
        return
    keys = Keys(customer, subscription.number)
    at, row = step_at(book, keys, max(born, from_at))
    while at < min(to_at, dies):
        next_at = step_after(book, keys, max(at, born))
        added: list[str] = []
        removed: list[str] = []
        if at <= born:
            added = [seat_id for seat_id, _ in members(book, customer, subscription, born)]
        else:
            for key, turn in book.scan(TURN, keys.turns_from(at), keys.turns_from(at + 1)):
                (added if turn.came else removed).append(keys.turn_of(key))
        yield Segment(
            max(at, born),
            dies if next_at is None else min(next_at, dies),
            row.assigned + row.unassigned,
            row.assigned,
            row.unassigned,
            tuple(added),
            tuple(removed),
        )
        if next_at is None:
            return
        at, row = next_at, book.load(STEP, keys.step(next_at)) or row


def _step(at: Instant, row: StepRow) -> Step:
    return Step(at, row.assigned + row.unassigned, row.assigned, row.unassigned, row.edit_id)

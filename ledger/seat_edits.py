"""One edit of seats, folded whole or refused whole (L11).

An edit that comes after all that was folded goes on from where the fold stands and touches only the seats that it names.
A late one takes the fold back to its earliest instant and folds from there on what was ordered, itself included; if a
rule breaks at any later instant, it is refused (D4). Nothing is saved before every subscription of the edit has folded.
"""

from dataclasses import dataclass
from typing import Any

from ledger.contracts import ContractRow, SubscriptionRow
from ledger.facts import AddSeats, SeatChange, SeatName, SetSeats
from ledger.instants import FOREVER, Instant
from ledger.outcome import Refusal
from ledger.rows import Book
from ledger.seat_fold import Fold, Seat
from ledger.seat_orders import Order, asked_of, place, stale
from ledger.seat_rows import (
    HEAD,
    MOVES,
    OPERATIONS,
    SEAT,
    STEP,
    TURN,
    Interval,
    Keys,
    Move,
    MoveRow,
    OperationsRow,
    Place,
    Said,
    SeatRow,
    TurnRow,
    step_at,
)


@dataclass(frozen=True, slots=True)
class TouchedSeat:
    """A seat whose intervals or moves are others than before, from `since` on."""

    subscription: SubscriptionRow
    seat_id: str
    since: Instant


@dataclass(frozen=True, slots=True)
class TouchedSteps:
    """A subscription whose counts, or what they are due to, are others than before, from `since` on."""

    subscription: SubscriptionRow
    since: Instant


@dataclass(frozen=True, slots=True)
class Edited:
    """The edit counts. `results` says what became of each subscription, as the wire's `result`."""

    results: dict[str, dict[str, Any]]
    seats: list[TouchedSeat]
    steps: list[TouchedSteps]


def edit(book: Book, customer: int, contract: ContractRow, fact: SeatChange) -> Edited | Refusal:
    """Fold one edit, of one or several subscriptions, or say why not. On success each subscription's `version` has grown
    by one, in `contract`, which the caller saves; a refusal leaves every row as it was."""
    asked = asked_of(contract, fact)
    if isinstance(asked, Refusal):
        return asked
    refusal = stale(contract, fact, asked)
    if refusal is not None:
        return refusal
    folded = [
        (order, order.rows(fact), Fold(book, Keys(customer, order.subscription.number), fact.id, fact.time))
        for order in asked
    ]
    for order, _, fold in folded:
        refusal = order.wrong_mode(fold.head.converted_at)
        if refusal is not None:
            return refusal
    for _, rows, fold in folded:
        refusal = fold.run(rows)
        if refusal is not None:
            return refusal
    edited = Edited({}, [], [])
    for order, rows, fold in folded:
        order.subscription.version += 1
        edited.results[order.subscription.subscription_id] = _result(contract, order, fold)
        if rows:
            _save(fact, order, rows, fold, edited)
    return edited


def _result(contract: ContractRow, order: Order, fold: Fold) -> dict[str, Any]:
    """The counts just before the first instant that the edit names and at the last, under the mask of the subscription's
    life (D5). Of those who came and left in between, the seats that this fold looked at."""
    born, dies = contract.life(order.subscription)
    first = last = fold.since
    if order.operations:
        last = max(operation.starting_at for _, operation in order.operations)
        (was_assigned, was_unassigned), (assigned, unassigned) = fold.base, fold.counts[last]
    else:
        (_, before), (_, step) = (step_at(fold.book, fold.keys, at) for at in (first - 1, last))
        was_assigned, was_unassigned = before.assigned, before.unassigned
        assigned, unassigned = step.assigned, step.unassigned
    lived, lives = born < first <= dies, born <= last < dies
    added, removed = [], []
    for seat_id, seat in fold.seats.items():
        was_there = lived and seat.row is not None and seat.row.at(first - 1) is not None
        is_there = lives and any(each.came_at <= last < each.left_at for each in seat.intervals)
        if is_there and not was_there:
            added.append(seat_id)
        elif was_there and not is_there:
            removed.append(seat_id)
    return {
        "version": order.subscription.version,
        "previous_quantity": was_assigned + was_unassigned if lived else 0,
        "quantity": assigned + unassigned if lives else 0,
        "assigned": assigned if lives else 0,
        "added": sorted(added),
        "removed": sorted(removed),
    }


def _save(fact: SeatChange, order: Order, rows: list[OperationsRow], fold: Fold, edited: Edited) -> None:
    """Write what is different, and say what that is."""
    for row in rows:
        fold.book.save(OPERATIONS, fold.keys.operation(row.place), row)
    _name(fact, order, fold)
    since = _save_moves(fold)
    for seat_id, seat in fold.seats.items():
        at = _save_seat(fold, seat)
        if at is not None:
            since[seat_id] = min(at, since.get(seat_id, FOREVER))
    edited.seats.extend([TouchedSeat(order.subscription, seat_id, at) for seat_id, at in sorted(since.items())])
    stepped = _save_steps(fold)
    if stepped is not None:
        edited.steps.append(TouchedSteps(order.subscription, stepped))
    fold.book.save(HEAD, fold.keys.head, fold.head_after())


def _name(fact: SeatChange, order: Order, fold: Fold) -> None:
    """What is said of people counts from the last edit that says it, in L11's order."""
    naming = [operation for _, operation in order.operations if isinstance(operation, AddSeats | SetSeats)]
    for operation in sorted(naming, key=lambda operation: isinstance(operation, SetSeats)):
        for named in operation.seat_ids:
            if named.name is not None or named.email is not None:
                seat = fold.seat(named.seat_id)
                seat.row = name_seat(seat.row or SeatRow(), named, place(fact, operation))


def name_seat(row: SeatRow, named: SeatName, place: Place) -> SeatRow:
    """The row with what is said of the person, unless an edit with a later place has said it already."""
    name, email = row.name_said, row.email_said
    if named.name is not None and (name is None or name.place <= place):
        name = Said(named.name, place)
    if named.email is not None and (email is None or email.place <= place):
        email = Said(named.email, place)
    return SeatRow(row.intervals, name, email)


def _save_moves(fold: Fold) -> dict[str, Instant]:
    """From when the moves of each seat are others than before."""
    since: dict[str, Instant] = {}
    # In an order of their own: a replay writes the same rows in the same order.
    for move in sorted(fold.moves ^ fold.old_moves, key=_place):
        for seat_id in (move.from_seat_id, move.to_seat_id):
            since[seat_id] = min(move.at, since.get(seat_id, FOREVER))
            fold.book.drop(MOVES, fold.keys.move(seat_id, move.at, move.order))
    for move in sorted(fold.moves - fold.old_moves, key=_place):
        for seat_id, other in ((move.from_seat_id, move.to_seat_id), (move.to_seat_id, move.from_seat_id)):
            row = MoveRow(
                other,
                seat_id == move.to_seat_id,
                move.carry_balance,
                move.edit_id,
                move.time,
                move.sequence,
                move.index,
            )
            fold.book.save(MOVES, fold.keys.move(seat_id, move.at, move.order), row)
    return since


def _place(move: Move) -> tuple[Instant, int, str, str]:
    return move.at, move.order, move.from_seat_id, move.to_seat_id


def _save_seat(fold: Fold, seat: Seat) -> Instant | None:
    """From when the seat's intervals are others than before, or None."""
    book, key = fold.book, fold.keys.seats + seat.text
    row, intervals = seat.row, seat.intervals
    before = [] if row is None else row.intervals
    if before == intervals:
        if row is not None and row is not book.load(SEAT, key):
            book.save(SEAT, key, row)
        return None
    same = 0
    while same < len(before) and same < len(intervals) and before[same] == intervals[same]:
        same += 1
    old, new = before[same:], intervals[same:]
    was, turns = _turns(old, fold.since), _turns(new, fold.since)
    for at in was.keys() - turns.keys():
        book.drop(TURN, fold.keys.turns_from(at) + seat.text)
    for at, came in turns.items():
        if was.get(at) is not came:
            book.save(TURN, fold.keys.turns_from(at) + seat.text, TurnRow(came))
    if intervals or (row is not None and (row.name_said is not None or row.email_said is not None)):
        row = row or SeatRow()
        row.intervals = intervals
        book.save(SEAT, key, row)
    else:
        book.drop(SEAT, key)
    return _differ_at(old, new)


def _turns(intervals: list[Interval], since: Instant) -> dict[Instant, bool]:
    """When a seat came (True) and left (False), from an instant on."""
    turns: dict[Instant, bool] = {}
    for interval in intervals:
        if interval.came_at >= since:
            turns[interval.came_at] = True
        if since <= interval.left_at < FOREVER:
            turns[interval.left_at] = False
    return turns


def _differ_at(old: list[Interval], new: list[Interval]) -> Instant:
    """From when two lists of intervals differ, which they do from their first on."""
    if old and new:
        if old[0].coming == new[0].coming:
            return min(old[0].left_at, new[0].left_at)
        return min(old[0].came_at, new[0].came_at)
    return (old or new)[0].came_at


def _save_steps(fold: Fold) -> Instant | None:
    """From when the steps are others than before, or None."""
    since: Instant | None = None
    for at in sorted(fold.old_steps.keys() | fold.steps.keys()):
        old, new = fold.old_steps.get(at), fold.steps.get(at)
        if old == new:
            continue
        if since is None:
            since = at
        if new is None:
            fold.book.drop(STEP, fold.keys.step(at))
        else:
            fold.book.save(STEP, fold.keys.step(at), new)
    return since

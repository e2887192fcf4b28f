"""The seats of one subscription while one edit is folded (L11): in memory, over rows that it reads and leaves as they are."""

from typing import Literal, NamedTuple

from ledger import instants
from ledger.instants import FOREVER, Instant
from ledger.outcome import LawBroken, Refusal
from ledger.rows import Book, after, text_key
from ledger.seat_rows import (
    SEAT,
    STEP,
    TURN,
    HeadRow,
    Interval,
    Keys,
    Move,
    Operation,
    OperationsRow,
    SeatRow,
    StepRow,
    load_head,
    operations_since,
    step_before,
    steps_between,
)

Leaving = tuple[Literal["removed", "moved"], str | None, bool, str]


class Seat:
    """A seat while its subscription is folded: what it was just before the instant at hand, and what it is by now."""

    __slots__ = ("before", "came", "intervals", "left", "listed", "now", "row", "text")

    def __init__(self, text: bytes, row: SeatRow | None, intervals: list[Interval]) -> None:
        self.text = text
        self.row = row
        self.intervals = intervals
        self.now = self.before = bool(intervals) and intervals[-1].left_at == FOREVER
        self.came: Interval | None = None
        self.left: Leaving | None = None
        self.listed = False

    def settle(self, at: Instant) -> bool:
        """The instant is over: only the state after all its edits counts (L11). Says whether it made a difference."""
        intervals = self.intervals
        last = intervals[-1] if intervals else None
        if self.now and not self.before and self.came is not None:
            if last is not None and last.came_at == at:
                intervals.pop()
            intervals.append(self.came)
        elif self.now and self.before and last is not None and last.left_at == at:
            intervals[-1] = last.reopened()
        elif self.before and not self.now and self.left is not None and last is not None:
            intervals[-1] = Interval(
                last.came_at, at, last.came, last.came_from, last.carried_in, last.came_by, *self.left
            )
        elif not self.before and not self.now and last is not None and last.came_at == at:
            intervals.pop()
        turned = self.now != self.before
        self.before, self.came, self.left, self.listed = self.now, None, None, False
        return turned


class _Short(NamedTuple):
    """The operation that took more than there was."""

    edit_id: str
    operation: Operation
    current: int
    requested: int


class Fold:
    """From `since` on, what the subscription is with the edit: `seats` that were looked at, `counts` after each instant,
    `steps` and `moves`, each beside those of before."""

    def __init__(self, book: Book, keys: Keys, edit_id: str, since: Instant) -> None:
        self.book = book
        self.keys = keys
        self.edit_id = edit_id
        self.head = load_head(book, keys)
        self.place = self.head.place
        self.since = since
        self.seats: dict[str, Seat] = {}
        self.assigned, self.unassigned = self.head.assigned, self.head.unassigned
        self.was_assigned, self.was_unassigned = self.assigned, self.unassigned
        #: The counts just before `since`, and the last step before it.
        self.base = self.assigned, self.unassigned
        self.base_step = self.head.stepped_at
        self.counts: dict[Instant, tuple[int, int]] = {}
        self.old_steps: dict[Instant, StepRow] = {}
        self.steps: dict[Instant, StepRow] = {}
        self.old_moves: set[Move] = set()
        self.moves: set[Move] = set()
        self.moved = 0
        self.turned = 0
        self._at: Instant | None = None
        self._late = False
        self._resumes = False
        self._listed: list[Seat] = []
        self._by = ""
        self._short: _Short | None = None

    def run(self, ordered: list[OperationsRow]) -> Refusal | None:
        """Fold what the edit orders, and again what it precedes."""
        if not ordered:
            return None
        self.since = ordered[0].starting_at
        if ordered[0].place > self.head.place:
            self._resume()
        else:
            self._go_back()
            ordered = sorted([*self._known(), *ordered], key=lambda row: row.place)
        for row in ordered:
            if row.starting_at != self._at:
                refusal = self._settle()
                if refusal is not None:
                    return refusal
                self._begin_instant(row.starting_at)
            for operation in row.operations:
                refusal = self._apply(operation, row)
                if refusal is not None:
                    return refusal
        self.place = ordered[-1].place
        return self._settle()

    def _resume(self) -> None:
        """Go on from the head, in the midst of its instant if that gets another edit."""
        head = self.head
        if self.since != head.place[0]:
            return
        self._resumes = True
        self._at = self.since
        self.was_assigned, self.was_unassigned = head.was_assigned, head.was_unassigned
        self.base = (head.was_assigned, head.was_unassigned)
        self.turned, self.moved = head.turned, head.moves
        if head.stepped_at == self.since:
            step = self.book.load(STEP, self.keys.step(self.since))
            if step is None:
                raise LawBroken("L11", f"the step of {instants.text(self.since)} is gone")
            self.old_steps[self.since] = step
            self._by = step.edit_id

    def _go_back(self) -> None:
        """Take the fold back to just before `since`."""
        self._late = True
        self.base_step, step = step_before(self.book, self.keys, self.since)
        self.base = step.assigned, step.unassigned
        self.assigned, self.unassigned = self.base
        self.old_steps = dict(steps_between(self.book, self.keys, self.since, FOREVER))
        turns = self.book.scan(TURN, self.keys.turns_from(self.since), after(self.keys.turns))
        for seat_id in sorted({self.keys.turn_of(key) for key, _ in turns}):
            self.seat(seat_id)

    def _known(self) -> list[OperationsRow]:
        known = operations_since(self.book, self.keys, self.since)
        at, moved = None, 0
        for row in known:
            if row.starting_at != at:
                at, moved = row.starting_at, 0
            for operation in row.operations:
                if operation.op == "move_seat":
                    self.old_moves.add(self._move_of(operation, row, moved))
                    moved += 1
        return known

    def seat(self, seat_id: str) -> Seat:
        seat = self.seats.get(seat_id)
        if seat is not None:
            return seat
        self.book.breathe()
        text = text_key(seat_id)
        row = self.book.load(SEAT, self.keys.seats + text)
        intervals = [] if row is None else row.intervals.copy()
        if self._late:
            while intervals and intervals[-1].came_at >= self.since:
                intervals.pop()
            if intervals and self.since <= intervals[-1].left_at < FOREVER:
                intervals[-1] = intervals[-1].reopened()
        seat = self.seats[seat_id] = Seat(text, row, intervals)
        if self._resumes and intervals:
            if intervals[-1].came_at == self._at:
                seat.before = False
            elif intervals[-1].left_at == self._at:
                seat.before = True
            # The head has counted it already; it is counted anew when the instant is settled.
            self.turned -= seat.now != seat.before
            self._list(seat)
        return seat

    def _list(self, seat: Seat) -> None:
        if not seat.listed:
            seat.listed = True
            self._listed.append(seat)

    def _begin_instant(self, at: Instant) -> None:
        self._at = at
        self._resumes = False
        self.was_assigned, self.was_unassigned = self.assigned, self.unassigned
        self.turned = self.moved = 0
        self._by = ""
        self._short = None

    def _settle(self) -> Refusal | None:
        """After all operations of an instant no count may be below zero (D4)."""
        if self._at is None:
            return None
        if self.unassigned < 0:
            return self._below_zero()
        for seat in self._listed:
            self.turned += seat.settle(self._at)
        self._listed.clear()
        self.counts[self._at] = self.assigned, self.unassigned
        if self.turned or self.assigned != self.was_assigned or self.unassigned != self.was_unassigned:
            self.steps[self._at] = StepRow(self.assigned, self.unassigned, self._by)
        return None

    # --- one operation ---

    def _apply(self, operation: Operation, row: OperationsRow) -> Refusal | None:
        edit_id = row.id
        match operation.op:
            case "add_seats":
                for seat_id in operation.seat_ids:
                    self._add(seat_id, edit_id)
            case "remove_seats":
                for seat_id in operation.seat_ids:
                    self._remove(seat_id, edit_id)
            case "move_seat":
                return self._move(operation, row)
            case "set_seats":
                for seat_id in self._others(set(operation.seat_ids)):
                    self._remove(seat_id, edit_id)
                for seat_id in operation.seat_ids:
                    self._add(seat_id, edit_id)
            case "set_quantity":
                self._shift(operation.quantity - self.unassigned, operation, edit_id)
            case "remove_unassigned_seats":
                self._shift(-operation.quantity, operation, edit_id)
            case _:
                self._shift(operation.quantity, operation, edit_id)
        return None

    def _add(self, seat_id: str, edit_id: str) -> None:
        """Adding an id fills an unassigned seat first; one that is assigned already does nothing (L11)."""
        seat = self.seat(seat_id)
        if seat.now:
            return
        self._come(seat, Interval(self._now(), came_by=edit_id))
        self.assigned += 1
        if self.unassigned > 0:
            self.unassigned -= 1
        self._by = edit_id

    def _remove(self, seat_id: str, edit_id: str) -> None:
        """Removing an id lowers the total by one; an unknown one does nothing (L11)."""
        seat = self.seat(seat_id)
        if not seat.now:
            return
        self._leave(seat, ("removed", None, False, edit_id))
        self.assigned -= 1
        self._by = edit_id

    def _move(self, operation: Operation, row: OperationsRow) -> Refusal | None:
        """Refused if `from` is not assigned or `to` is, when its turn comes (D4)."""
        source_id, target_id = operation.seat_ids
        edit_id = row.id
        source, target = self.seat(source_id), self.seat(target_id)
        if source is target or (source.now and target.now):
            return self._cannot_move("already_assigned", "to_seat_id", operation, edit_id)
        if not source.now:
            return self._cannot_move("not_assigned", "from_seat_id", operation, edit_id)
        carry = operation.carry_balance
        self._leave(source, ("moved", target_id, carry, edit_id))
        self._come(target, Interval(self._now(), FOREVER, "moved", source_id, carry, edit_id))
        self.moves.add(self._move_of(operation, row, self.moved))
        self.moved += 1
        self._by = edit_id
        return None

    def _move_of(self, operation: Operation, row: OperationsRow, order: int) -> Move:
        source, target = operation.seat_ids
        return Move(
            row.starting_at, source, target, operation.carry_balance, row.id, order, row.time, row.sequence,
            operation.index, self.keys.subscription,
        )  # fmt: skip

    def _shift(self, delta: int, operation: Operation, edit_id: str) -> None:
        if delta == 0:
            return
        if delta < 0 <= self.unassigned and self.unassigned + delta < 0:
            self._short = _Short(edit_id, operation, self.unassigned, -delta)
        self.unassigned += delta
        self._by = edit_id

    def _others(self, wanted: set[str]) -> list[str]:
        """Who is assigned by now and not wanted. The one question that looks at every seat."""
        others = [seat_id for seat_id, seat in self.seats.items() if seat.now and seat_id not in wanted]
        for key, row in self.book.scan(SEAT, self.keys.seats, after(self.keys.seats)):
            if row.intervals and row.intervals[-1].left_at == FOREVER:
                seat_id = self.keys.seat_of(key)
                # Whoever turned since the fold went back is in `seats`, so this row says what is true by now.
                if seat_id not in self.seats and seat_id not in wanted:
                    others.append(seat_id)
        return others

    def _come(self, seat: Seat, interval: Interval) -> None:
        seat.now, seat.came = True, interval
        self._list(seat)

    def _leave(self, seat: Seat, how: Leaving) -> None:
        seat.now, seat.left = False, how
        self._list(seat)

    def _now(self) -> Instant:
        assert self._at is not None
        return self._at

    # --- what is refused ---

    def _below_zero(self) -> Refusal:
        short = self._short
        if short is None:
            raise LawBroken("L11", f"{self.unassigned} unassigned seats, and nothing took them")
        noun = "seats" if short.operation.op.endswith("quantity") else "unassigned seats"
        what = f"{short.requested} of {short.current} {noun} cannot be taken away at {instants.text(self._now())}"
        field = "delta" if short.operation.op == "change_quantity" else "quantity"
        return self._refused("below_zero", field, what, short.operation, short.edit_id, short)

    def _cannot_move(self, code: str, field: str, operation: Operation, edit_id: str) -> Refusal:
        seat_id = operation.seat_ids[field == "to_seat_id"]
        state = "is assigned already" if code == "already_assigned" else "is not assigned"
        what = f"seat {seat_id} {state} at {instants.text(self._now())}"
        return self._refused(code, field, what, operation, edit_id, None)

    def _refused(
        self, code: str, field: str, what: str, operation: Operation, edit_id: str, short: _Short | None
    ) -> Refusal:
        """Where an edit accepted before would break, this one is at fault, and none of its fields alone is."""
        own = edit_id == self.edit_id
        return Refusal(
            code=code,
            field=f"operations[{operation.index}].{field}" if own else "operations",
            message=what if own else f"edit {edit_id}, accepted before, would break: {what}",
            law="L11",
            details=None if short is None else {"current": short.current, "requested": short.requested},
        )

    def head_after(self) -> HeadRow:
        """Where the fold stands with the edit."""
        return HeadRow(
            self.assigned,
            self.unassigned,
            self.was_assigned,
            self.was_unassigned,
            self.place,
            self.turned,
            self.moved,
            self._stepped_at(),
            self.head.converted_at,
        )

    def _stepped_at(self) -> Instant:
        if self.steps:
            return max(self.steps)
        if self.base_step in self.old_steps:
            # The instant's edits cancel each other: its step is gone, and the one before is the last again.
            return step_before(self.book, self.keys, self.base_step)[0]
        return self.base_step

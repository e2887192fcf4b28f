"""One edit of seats, folded whole or refused whole (L11).

An edit that comes after all that was folded goes on from where the fold stands and touches only the seats that it names.
A late one takes the fold back to its earliest instant and folds from there on what was ordered, itself included; if a
rule breaks at any later instant, it is refused (D4). Nothing is saved before every subscription of the edit has folded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ledger import instants
from ledger.contracts import ContractRow, SubscriptionRow
from ledger.facts import (
    AddSeats,
    AddUnassignedSeats,
    AnyOperation,
    ChangeQuantity,
    MoveSeat,
    RemoveSeats,
    RemoveUnassignedSeats,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
)
from ledger.instants import FOREVER, Instant
from ledger.outcome import LawBroken, Refusal
from ledger.rows import Book, after
from ledger.seat_rows import (
    HEAD,
    MOVES,
    OPERATIONS,
    SEAT,
    STEP,
    TURN,
    HeadRow,
    Interval,
    Keys,
    Move,
    MoveRow,
    Operation,
    OperationsRow,
    Place,
    Said,
    SeatRow,
    StepRow,
    TurnRow,
    load_head,
    operations_since,
    step_at,
    step_before,
    steps_between,
)

#: The operations of one edit at one instant apply in this order; those of one kind in the order written (L11).
ORDER = (
    "remove_seats",
    "remove_unassigned_seats",
    "add_seats",
    "add_unassigned_seats",
    "move_seat",
    "set_seats",
    "set_quantity",
    "change_quantity",
)
#: At the instant of a conversion, what was ordered by quantity comes before what is ordered by seat (D8).
BY_QUANTITY, BY_SEAT = 0, 1


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
    asked = _asked(contract, fact)
    if isinstance(asked, Refusal):
        return asked
    refusal = _stale(contract, fact, asked)
    if refusal is not None:
        return refusal
    folds: list[_Fold] = []
    for order in asked:
        fold = _Fold(book, customer, order.subscription, fact)
        refusal = fold.wrong_mode(order.operations) or fold.run(order.rows(fact))
        if refusal is not None:
            return refusal
        folds.append(fold)
    edited = Edited({}, [], [])
    for order, fold in zip(asked, folds, strict=True):
        order.subscription.version += 1
        edited.results[order.subscription.subscription_id] = fold.result(contract, order)
        fold.save(order, edited)
    return edited


# --- what is asked ---------------------------------------------------------------------------------------------------


class _Ordered(NamedTuple):
    """What an edit asks of one subscription, each operation with its place in the edit."""

    subscription: SubscriptionRow
    names: set[str]
    operations: list[tuple[int, AnyOperation]]

    def rows(self, fact: SeatChange) -> list[OperationsRow]:
        rows: dict[tuple[Instant, int], OperationsRow] = {}
        for index, operation in self.operations:
            phase = _phase(operation)
            row = rows.get((operation.starting_at, phase))
            if row is None:
                row = OperationsRow(operation.starting_at, phase, fact.time, _bounded(fact.sequence), fact.id, [])
                rows[operation.starting_at, phase] = row
            row.operations.append(_plain(index, operation))
        for row in rows.values():
            if row.phase == BY_SEAT:
                row.operations.sort(key=lambda plain: ORDER.index(plain.op))
        return sorted(rows.values(), key=lambda row: row.place)


def _asked(contract: ContractRow, fact: SeatChange) -> list[_Ordered] | Refusal:
    """What is asked of each subscription, in the order in which they are named first."""
    found: dict[int, _Ordered] = {}
    for index, operation in enumerate(fact.operations):
        own = operation.subscription_id is not None or operation.feature_code is not None
        names, path = (operation, f"operations[{index}].") if own else (fact, "")
        order = _named(contract, found, names.subscription_id, names.feature_code, operation.starting_at, path)
        if isinstance(order, Refusal):
            return order
        order.operations.append((index, operation))
    if not fact.operations:
        order = _named(contract, found, fact.subscription_id, fact.feature_code, fact.time, "")
        if isinstance(order, Refusal):
            return order
    return list(found.values())


def _named(
    contract: ContractRow,
    found: dict[int, _Ordered],
    subscription_id: str | None,
    feature_code: str | None,
    at: Instant,
    path: str,
) -> _Ordered | Refusal:
    subscription = contract.subscription(subscription_id, feature_code, at)
    if subscription is not None:
        order = found.setdefault(subscription.number, _Ordered(subscription, set(), []))
        order.names.add(subscription_id or feature_code or "")
        return order
    if subscription_id is not None:
        return _unknown(f"{path}subscription_id", subscription_id, contract)
    if feature_code is not None:
        return _unknown(f"{path}feature_code", f"with the feature code {feature_code}", contract)
    return Refusal(code="missing_field", field=f"{path}subscription_id", message="the edit names no subscription")


def _unknown(field: str, which: str, contract: ContractRow) -> Refusal:
    message = f"contract {contract.contract_id} has no subscription {which}"
    return Refusal(code="unknown_subscription", field=field, message=message)


def _stale(contract: ContractRow, fact: SeatChange, asked: list[_Ordered]) -> Refusal | None:
    """An edit that expects another version than the subscription's is refused (D9)."""
    for name, expected in (fact.expected_version or {}).items():
        subscription = next((order.subscription for order in asked if name in order.names), None)
        subscription = (
            subscription or contract.subscription(name, None, fact.time) or contract.subscription(None, name, fact.time)
        )
        if subscription is None:
            return _unknown(f"expected_version.{name}", name, contract)
        if subscription.version != expected:
            return Refusal(
                code="version_stale",
                field="expected_version",
                message=f"subscription {name} is at version {subscription.version}, not at {expected}",
                law="L11",
                details={"current": subscription.version, "requested": expected},
            )
    return None


def _phase(operation: AnyOperation) -> int:
    return BY_QUANTITY if isinstance(operation, SetQuantity | ChangeQuantity) else BY_SEAT


def _bounded(sequence: int) -> int:
    """Beyond 64 bits all are alike, so that any integer has a key."""
    return max(-(2**63), min(2**63 - 1, sequence))


def _plain(index: int, operation: AnyOperation) -> Operation:
    match operation:
        case AddSeats(seat_ids=seats):
            return Operation("add_seats", index, [seat.seat_id for seat in seats])
        case RemoveSeats(seat_ids=seats):
            return Operation("remove_seats", index, [seat.seat_id for seat in seats])
        case SetSeats(seat_ids=seats):
            return Operation("set_seats", index, [seat.seat_id for seat in seats])
        case MoveSeat(from_seat_id=source, to_seat_id=target, carry_balance=carry):
            return Operation("move_seat", index, [source, target], carry_balance=carry)
        case AddUnassignedSeats(quantity=quantity):
            return Operation("add_unassigned_seats", index, quantity=quantity)
        case RemoveUnassignedSeats(quantity=quantity):
            return Operation("remove_unassigned_seats", index, quantity=quantity)
        case SetQuantity(quantity=quantity):
            return Operation("set_quantity", index, quantity=quantity)
        case ChangeQuantity(delta=delta):
            return Operation("change_quantity", index, quantity=delta)


# --- the fold --------------------------------------------------------------------------------------------------------


class _Seat:
    """A seat while its subscription is folded: what it was just before the instant at hand, and what it is by now."""

    __slots__ = ("before", "came", "intervals", "left", "listed", "now", "row")

    def __init__(self, row: SeatRow | None, intervals: list[Interval]) -> None:
        self.row = row
        self.intervals = intervals
        self.now = self.before = bool(intervals) and intervals[-1].left_at == FOREVER
        self.came: Interval | None = None
        self.left: tuple[Literal["removed", "moved"], str | None, bool, str] | None = None
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


class _Fold:
    """One subscription while one edit is folded. Reads rows and changes none until `save`."""

    def __init__(self, book: Book, customer: int, subscription: SubscriptionRow, fact: SeatChange) -> None:
        self.book = book
        self.keys = Keys(customer, subscription.number)
        self.subscription = subscription
        self.fact = fact
        self.head = load_head(book, self.keys)
        self.place: Place = self.head.place
        self.late = False
        self.since: Instant = fact.time
        self.at: Instant | None = None
        self.seats: dict[str, _Seat] = {}
        self.assigned, self.unassigned = self.head.assigned, self.head.unassigned
        self.was_assigned, self.was_unassigned = self.assigned, self.unassigned
        self.counts: dict[Instant, tuple[int, int]] = {}
        self.old_steps: dict[Instant, StepRow] = {}
        self.steps: dict[Instant, StepRow] = {}
        self.old_moves: set[Move] = set()
        self.moves: set[Move] = set()
        self.moved = 0
        self.turned = 0
        self._listed: list[_Seat] = []
        self._resumes = False
        self._edit_id = ""
        self._short: _Short | None = None
        self.base = (self.assigned, self.unassigned)
        self.base_step: Instant = self.head.stepped_at

    def wrong_mode(self, operations: Iterable[tuple[int, AnyOperation]]) -> Refusal | None:
        """Quantities are for a subscription of mode quantity, before its conversion; seats for one of mode seats, from
        its conversion on (D8)."""
        converted_at = self.head.converted_at
        for index, operation in operations:
            if self.subscription.given.mode == "seats":
                phase = BY_SEAT
            else:
                phase = BY_SEAT if converted_at is not None and operation.starting_at >= converted_at else BY_QUANTITY
            if _phase(operation) != phase:
                mode = "seats" if phase == BY_SEAT else "quantity"
                return Refusal(
                    code="wrong_mode",
                    field=f"operations[{index}].op",
                    message=f"subscription {self.subscription.subscription_id} is of mode {mode}"
                    f" at {instants.text(operation.starting_at)}",
                    law="L11",
                )
        return None

    def run(self, ordered: list[OperationsRow]) -> Refusal | None:
        """Fold what is ordered, and again what it precedes."""
        if not ordered:
            return None
        self.since = ordered[0].starting_at
        if ordered[0].place > self.head.place:
            self._resume()
        else:
            self._go_back()
            ordered = sorted([*self._known(), *ordered], key=lambda row: row.place)
        for row in ordered:
            if row.starting_at != self.at:
                refusal = self._settle()
                if refusal is not None:
                    return refusal
                self._begin_instant(row.starting_at)
            for operation in row.operations:
                refusal = self._apply(operation, row.id)
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
        self.at = self.since
        self.was_assigned, self.was_unassigned = head.was_assigned, head.was_unassigned
        self.base = (head.was_assigned, head.was_unassigned)
        self.turned, self.moved = head.turned, head.moves
        if head.stepped_at == self.since:
            step = self.book.load(STEP, self.keys.step(self.since))
            if step is None:
                raise LawBroken("L11", f"the step of {instants.text(self.since)} is gone")
            self.old_steps[self.since] = step
            self._edit_id = step.edit_id
            self.base_step = self.since

    def _go_back(self) -> None:
        """Take the fold back to just before `since`."""
        self.late = True
        self.base_step, step = step_before(self.book, self.keys, self.since)
        self.base = step.assigned, step.unassigned
        self.assigned, self.unassigned = self.base
        self.old_steps = dict(steps_between(self.book, self.keys, self.since, FOREVER))
        turns = self.book.scan(TURN, self.keys.turns_from(self.since), after(self.keys.turns))
        for seat_id in {self.keys.turn_of(key) for key, _ in turns}:
            self._seat(seat_id)

    def _known(self) -> list[OperationsRow]:
        known = operations_since(self.book, self.keys, self.since)
        at, moved = None, 0
        for row in known:
            if row.starting_at != at:
                at, moved = row.starting_at, 0
            for operation in row.operations:
                if operation.op == "move_seat":
                    self.old_moves.add(_move(row.starting_at, operation, row.id, moved))
                    moved += 1
        return known

    def _seat(self, seat_id: str) -> _Seat:
        seat = self.seats.get(seat_id)
        if seat is not None:
            return seat
        row = self.book.load(SEAT, self.keys.seat(seat_id))
        intervals = [] if row is None else row.intervals.copy()
        if self.late:
            while intervals and intervals[-1].came_at >= self.since:
                intervals.pop()
            if intervals and self.since <= intervals[-1].left_at < FOREVER:
                intervals[-1] = intervals[-1].reopened()
        seat = self.seats[seat_id] = _Seat(row, intervals)
        if self._resumes and intervals:
            if intervals[-1].came_at == self.at:
                seat.before = False
            elif intervals[-1].left_at == self.at:
                seat.before = True
            # The head has counted it already; it is counted anew when the instant is settled.
            self.turned -= seat.now != seat.before
            self._list(seat)
        return seat

    def _list(self, seat: _Seat) -> None:
        if not seat.listed:
            seat.listed = True
            self._listed.append(seat)

    def _begin_instant(self, at: Instant) -> None:
        self.at = at
        self._resumes = False
        self.was_assigned, self.was_unassigned = self.assigned, self.unassigned
        self.turned = self.moved = 0
        self._edit_id = ""
        self._short = None

    def _settle(self) -> Refusal | None:
        """After all operations of an instant no count may be below zero (D4)."""
        if self.at is None:
            return None
        if self.unassigned < 0:
            return self._below_zero()
        for seat in self._listed:
            self.turned += seat.settle(self.at)
        self._listed.clear()
        self.counts[self.at] = self.assigned, self.unassigned
        if self.turned or self.assigned != self.was_assigned or self.unassigned != self.was_unassigned:
            self.steps[self.at] = StepRow(self.assigned, self.unassigned, self._edit_id)
        return None

    # --- one operation ---

    def _apply(self, operation: Operation, edit_id: str) -> Refusal | None:
        match operation.op:
            case "add_seats":
                for seat_id in operation.seat_ids:
                    self._add(seat_id, edit_id)
            case "remove_seats":
                for seat_id in operation.seat_ids:
                    self._remove(seat_id, edit_id)
            case "move_seat":
                return self._move(operation, edit_id)
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
        seat = self._seat(seat_id)
        if seat.now:
            return
        self._come(seat, Interval(self._now(), came_by=edit_id))
        self.assigned += 1
        if self.unassigned > 0:
            self.unassigned -= 1
        self._edit_id = edit_id

    def _remove(self, seat_id: str, edit_id: str) -> None:
        """Removing an id lowers the total by one; an unknown one does nothing (L11)."""
        seat = self._seat(seat_id)
        if not seat.now:
            return
        self._leave(seat, ("removed", None, False, edit_id))
        self.assigned -= 1
        self._edit_id = edit_id

    def _move(self, operation: Operation, edit_id: str) -> Refusal | None:
        """Refused if `from` is not assigned or `to` is, when its turn comes (D4)."""
        source_id, target_id = operation.seat_ids
        source, target = self._seat(source_id), self._seat(target_id)
        if source is target or (source.now and target.now):
            return self._cannot_move("already_assigned", "to_seat_id", operation, edit_id)
        if not source.now:
            return self._cannot_move("not_assigned", "from_seat_id", operation, edit_id)
        carry = operation.carry_balance
        self._leave(source, ("moved", target_id, carry, edit_id))
        self._come(target, Interval(self._now(), FOREVER, "moved", source_id, carry, edit_id))
        self.moves.add(_move(self._now(), operation, edit_id, self.moved))
        self.moved += 1
        self._edit_id = edit_id
        return None

    def _shift(self, delta: int, operation: Operation, edit_id: str) -> None:
        if delta == 0:
            return
        if delta < 0 <= self.unassigned and self.unassigned + delta < 0:
            self._short = _Short(edit_id, operation, self.unassigned, -delta)
        self.unassigned += delta
        self._edit_id = edit_id

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

    def _come(self, seat: _Seat, interval: Interval) -> None:
        seat.now, seat.came = True, interval
        self._list(seat)

    def _leave(self, seat: _Seat, how: tuple[Literal["removed", "moved"], str | None, bool, str]) -> None:
        seat.now, seat.left = False, how
        self._list(seat)

    def _now(self) -> Instant:
        assert self.at is not None
        return self.at

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
        own = edit_id == self.fact.id
        return Refusal(
            code=code,
            field=f"operations[{operation.index}].{field}" if own else "operations",
            message=what if own else f"edit {edit_id}, accepted before, would break: {what}",
            law="L11",
            details=None if short is None else {"current": short.current, "requested": short.requested},
        )

    # --- what came of it ---

    def result(self, contract: ContractRow, order: _Ordered) -> dict[str, Any]:
        """The counts just before the first instant that the edit names and at the last, under the mask of the
        subscription's life (D5)."""
        born, dies = contract.life(self.subscription)
        if order.operations:
            last = max(operation.starting_at for _, operation in order.operations)
            (was_assigned, was_unassigned), (assigned, unassigned) = self.base, self.counts[last]
        else:
            last = self.since
            _, before = step_at(self.book, self.keys, last - 1)
            _, after_it = step_at(self.book, self.keys, last)
            was_assigned, was_unassigned = before.assigned, before.unassigned
            assigned, unassigned = after_it.assigned, after_it.unassigned
        lived, lives = born < self.since <= dies, born <= last < dies
        added, removed = [], []
        for seat_id, seat in self.seats.items():
            was_there = lived and seat.row is not None and seat.row.at(self.since - 1) is not None
            is_there = lives and _there(seat.intervals, last)
            if is_there and not was_there:
                added.append(seat_id)
            elif was_there and not is_there:
                removed.append(seat_id)
        return {
            "version": self.subscription.version,
            "previous_quantity": was_assigned + was_unassigned if lived else 0,
            "quantity": assigned + unassigned if lives else 0,
            "assigned": assigned if lives else 0,
            "added": sorted(added),
            "removed": sorted(removed),
        }

    def save(self, order: _Ordered, edited: Edited) -> None:
        """Write what is different, and say what that is."""
        rows = order.rows(self.fact)
        if not rows:
            return
        for row in rows:
            self.book.save(OPERATIONS, self.keys.operation(row.place), row)
        self._name(order)
        since = self._save_moves()
        for seat_id, seat in self.seats.items():
            at = self._save_seat(seat_id, seat)
            if at is not None:
                since[seat_id] = min(at, since.get(seat_id, FOREVER))
        edited.seats.extend(TouchedSeat(self.subscription, seat_id, since[seat_id]) for seat_id in sorted(since))
        stepped = self._save_steps()
        if stepped is not None:
            edited.steps.append(TouchedSteps(self.subscription, stepped))
        head = HeadRow(
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
        self.book.save(HEAD, self.keys.head, head)

    def _name(self, order: _Ordered) -> None:
        """What is said of people counts from the last edit that says it, in L11's order."""
        fact = self.fact
        naming = [operation for _, operation in order.operations if isinstance(operation, AddSeats | SetSeats)]
        for operation in sorted(naming, key=lambda operation: isinstance(operation, SetSeats)):
            place = operation.starting_at, BY_SEAT, fact.time, _bounded(fact.sequence), fact.id
            for named in operation.seat_ids:
                if named.name is not None or named.email is not None:
                    seat = self._seat(named.seat_id)
                    seat.row = name_seat(seat.row or SeatRow(), named, place)

    def _save_moves(self) -> dict[str, Instant]:
        since: dict[str, Instant] = {}
        for move in self.old_moves - self.moves:
            for seat_id in (move.from_seat_id, move.to_seat_id):
                self.book.drop(MOVES, self.keys.move(seat_id, move.at, move.order))
        for move in self.moves - self.old_moves:
            for seat_id, other in ((move.from_seat_id, move.to_seat_id), (move.to_seat_id, move.from_seat_id)):
                row = MoveRow(other, seat_id == move.to_seat_id, move.carry_balance, move.edit_id)
                self.book.save(MOVES, self.keys.move(seat_id, move.at, move.order), row)
        for move in self.moves ^ self.old_moves:
            for seat_id in (move.from_seat_id, move.to_seat_id):
                since[seat_id] = min(move.at, since.get(seat_id, FOREVER))
        return since

    def _save_seat(self, seat_id: str, seat: _Seat) -> Instant | None:
        """From when the seat's intervals are others than before, or None."""
        row, intervals = seat.row, seat.intervals
        before = [] if row is None else row.intervals
        since = _differ_at(before, intervals)
        if since is not None:
            old, new = _turns(before, self.since), _turns(intervals, self.since)
            for at in old.keys() - new.keys():
                self.book.drop(TURN, self.keys.turn(at, seat_id))
            for at, came in new.items():
                if old.get(at) is not came:
                    self.book.save(TURN, self.keys.turn(at, seat_id), TurnRow(came))
        if row is None:
            row = SeatRow()
        key = self.keys.seat(seat_id)
        if not intervals and row.name_said is None and row.email_said is None:
            if before:
                self.book.drop(SEAT, key)
        elif since is not None or row is not self.book.load(SEAT, key):
            row.intervals = intervals
            self.book.save(SEAT, key, row)
        return since

    def _save_steps(self) -> Instant | None:
        """From when the steps are others than before, or None."""
        since: Instant | None = None
        for at in sorted(self.old_steps.keys() | self.steps.keys()):
            old, new = self.old_steps.get(at), self.steps.get(at)
            if old == new:
                continue
            if since is None:
                since = at
            if new is None:
                self.book.drop(STEP, self.keys.step(at))
            else:
                self.book.save(STEP, self.keys.step(at), new)
        return since

    def _stepped_at(self) -> Instant:
        if self.steps:
            return max(self.steps)
        if self.base_step in self.old_steps:
            # The instant's edits cancel each other: its step is gone, and the one before is the last again.
            return step_before(self.book, self.keys, self.base_step)[0]
        return self.base_step


def name_seat(row: SeatRow, named: SeatName, place: Place) -> SeatRow:
    """The row with what is said of the person, unless an edit with a later place has said it already."""
    name, email = row.name_said, row.email_said
    if named.name is not None and (name is None or name.place <= place):
        name = Said(named.name, place)
    if named.email is not None and (email is None or email.place <= place):
        email = Said(named.email, place)
    return SeatRow(row.intervals, name, email)


def _move(at: Instant, operation: Operation, edit_id: str, order: int) -> Move:
    source, target = operation.seat_ids
    return Move(at, source, target, operation.carry_balance, edit_id, order)


def _there(intervals: list[Interval], at: Instant) -> bool:
    return any(interval.came_at <= at < interval.left_at for interval in reversed(intervals))


def _turns(intervals: list[Interval], since: Instant) -> dict[Instant, bool]:
    """When a seat came (True) and left (False), from an instant on."""
    turns: dict[Instant, bool] = {}
    for interval in reversed(intervals):
        if interval.left_at < since:
            break
        if interval.left_at != FOREVER:
            turns[interval.left_at] = False
        if interval.came_at >= since:
            turns[interval.came_at] = True
    return turns


def _differ_at(old: list[Interval], new: list[Interval]) -> Instant | None:
    for i in range(max(len(old), len(new))):
        if i >= len(old):
            return new[i].came_at
        if i >= len(new):
            return old[i].came_at
        if old[i] != new[i]:
            if old[i].coming != new[i].coming:
                return min(old[i].came_at, new[i].came_at)
            return min(old[i].left_at, new[i].left_at)
    return None

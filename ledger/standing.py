"""What happens to a scope's credits at an instant, in the one order that L13 gives.

A `Standing` is what each credit of a scope has, and what went over, at one instant. `play` carries it from instant to
instant. Nothing here knows of burns: between two instants of this file a scope is only burned, and burning is sums
(balances.py).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ledger.amounts import Amount
from ledger.answers import EntryType
from ledger.grants import Credit, Left, parts_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.seat_rows import MoveRank


class ResetAt(NamedTuple):
    time: Instant
    id: str
    contract: int
    preserve_overage: bool


class Transfer(NamedTuple):
    """An open debt that a carried move takes away (`amount` None: all of it) or brings (L11)."""

    time: Instant
    rank: MoveRank
    amount: Amount | None
    id: str


#: time, type, amount, beside, credit, cause type, cause id
Emit = Callable[[Instant, EntryType, Amount, Amount, Credit | None, str, str], None]


def silent(
    time: Instant,
    type: EntryType,
    amount: Amount,
    beside: Amount,
    credit: Credit | None,
    cause_type: str,
    cause_id: str,
) -> None:
    pass


class Standing:
    """`over` is the overage since the last reset under `charge`, the open debt under `carry`. `frozen` holds what a removal
    revoked, for a return."""

    __slots__ = ("at", "carry", "frozen", "left", "over")

    def __init__(self, *, carry: bool, at: Instant = ORIGIN) -> None:
        self.at = at
        self.carry = carry
        self.left: dict[str, Left] = {}
        self.frozen: dict[str, Left] = {}
        self.over: Amount = 0

    def copy(self) -> "Standing":
        twin = Standing(carry=self.carry)
        twin.become(self)
        return twin

    def become(self, other: "Standing") -> None:
        """The same as another, sharing nothing with it."""
        self.at, self.carry, self.over = other.at, other.carry, other.over
        self.left = {name: Left(left.amount, left.granted) for name, left in other.left.items()}
        self.frozen = {name: Left(left.amount, left.granted) for name, left in other.frozen.items()}

    def origins(self) -> set[str]:
        """Where what was carried here came from."""
        return {origin for held in (self.left, self.frozen) for name in held if (origin := parts_of(name)[4])}

    def play(
        self,
        credits: list[Credit],
        resets: list[ResetAt],
        to: Instant,
        *,
        transfers: Iterable[Transfer] = (),
        emit: Emit = silent,
        until_step: int = 5,
    ) -> Instant:
        """Everything that happens in `(at, to]`; of `to` itself only the steps up to `until_step`.
        Answers the last instant at which anything happened (`at` as it was, if nothing did)."""
        known = {credit.name for credit in credits}
        for held in (self.left, self.frozen):
            for name in [name for name in held if name not in known]:
                del held[name]
        transfers = list(transfers)
        last = self.at
        # Only what is alive is looked at, so that a long past costs no more than its instants.
        coming = sorted((credit for credit in credits if credit.start > self.at), key=lambda credit: credit.start)
        live = [credit for credit in credits if credit.start <= self.at < credit.end]
        i = 0
        while True:
            at = next_instant(live, resets, transfers, self.at)
            if i < len(coming):
                at = min(at, coming[i].start)
            if at > to:
                break
            while i < len(coming) and coming[i].start <= at:
                live.append(coming[i])
                i += 1
            self.instant(live, resets, at, transfers=transfers, emit=emit, until_step=until_step if at == to else 5)
            live = [credit for credit in live if credit.end > at]
            last = self.at = at
        return last

    def instant(
        self,
        credits: list[Credit],
        resets: list[ResetAt],
        at: Instant,
        *,
        transfers: Iterable[Transfer] = (),
        emit: Emit = silent,
        until_step: int = 5,
    ) -> None:
        """One instant, in the order of L13."""
        left = self.left
        # 1: grants that end, seats that leave
        for credit in credits:
            name = credit.name
            if credit.end == at and credit.end_type != "moved_out":
                gone = left.pop(name, None)
                if gone is not None:
                    emit(at, credit.end_type, -gone.amount, 0, credit, *credit.end_cause)
                self.frozen.pop(name, None)
            else:
                for gap in credit.gaps:
                    if gap.start == at:
                        gone = left.pop(name)
                        emit(at, "voided", -gone.amount, 0, credit, "seat-change", gap.removed_by)
                        # Whether the seat returns may only be said later.
                        self.frozen[name] = gone
        # 2: reset
        for reset in resets:
            if reset.time == at:
                self._reset(credits, reset, emit)
        # 3: recurrences
        for credit in credits:
            recurrence = credit.recurrence
            if recurrence is not None and credit.name in left:
                every, anchor = recurrence.every, recurrence.anchor
                if every.point(anchor, every.index(anchor, at)) == at:
                    self._set(
                        credit, left[credit.name], at, credit.set_amount, emit, credit.cause_type, credit.cause_id
                    )
        if until_step == 3:
            return
        # 4: moves, then what starts, is given back and rises, then adjustments
        for credit in credits:
            if credit.end == at and credit.end_type == "moved_out":
                gone = left.pop(credit.name, None)
                if gone is not None:
                    emit(at, "moved_out", -gone.amount, 0, credit, *credit.end_cause)
        for transfer in transfers:
            if transfer.time == at:
                if transfer.amount is None:
                    if self.over:
                        emit(at, "moved_out", 0, -self.over, None, "seat-change", transfer.id)
                    self.over = 0
                elif transfer.amount:
                    self.over += transfer.amount
                    emit(at, "moved_in", 0, transfer.amount, None, "seat-change", transfer.id)
        for credit in credits:
            if credit.start == at < credit.end:
                left[credit.name] = Left(credit.amount, credit.granted)
                emit(at, credit.start_type, credit.amount, 0, credit, *credit.start_cause)
            for gap in credit.gaps:
                if gap.end == at and (back := self.frozen.pop(credit.name, None)) is not None:
                    left[credit.name] = back
                    emit(at, "restored", back.amount, 0, credit, "seat-change", gap.returned_by)
            for time, amount, cause_id in credit.rises:
                if time == at and (has := left.get(credit.name)) is not None:
                    has.amount += amount
                    has.granted += amount
                    emit(at, "granted", amount, 0, credit, "seat-change", cause_id)
        due = [(adjustment, credit) for credit in credits for adjustment in credit.adjustments if adjustment.time == at]
        for adjustment, credit in sorted(due, key=lambda pair: pair[0].id):
            now = left.get(credit.name)
            if now is None:
                continue  # another holds it now, or the whole of it lapses (D27)
            effective = max(adjustment.amount, -now.amount)
            now.amount += effective
            now.granted += effective
            emit(at, "adjusted", effective, 0, credit, "contract-change", adjustment.id)
            if effective != adjustment.amount:
                emit(at, "lapsed", 0, adjustment.amount - effective, credit, "contract-change", adjustment.id)
        # 5: carried debts are paid
        if until_step == 5 and self.carry and self.over:
            for credit in sorted(credits, key=lambda credit: credit.rank):
                own = left.get(credit.name)
                if own is not None:
                    self.pay(own, at, credit, emit)

    def pay(self, left: Left, at: Instant, credit: Credit | None, emit: Emit = silent) -> Amount:
        """Takes what it can of the debt from one credit."""
        paid = min(self.over, left.amount)
        if paid:
            self.over -= paid
            left.amount -= paid
            emit(at, "debt_paid", -paid, -paid, credit, "debt", "")
        return paid

    def _reset(self, credits: list[Credit], reset: ResetAt, emit: Emit) -> None:
        at = reset.time
        for credit in credits:
            has = self.left.get(credit.name)
            if has is None or credit.contract != reset.contract or not credit.resettable:
                continue
            keep = 0
            if credit.rollover is not None:
                keep = max(has.amount, credit.rollover.min)
                if credit.rollover.max is not None:
                    keep = min(keep, credit.rollover.max)
            self._set(credit, has, at, keep, emit, "contract-change", reset.id)
        if self.over and not (self.carry and reset.preserve_overage):
            if self.carry:
                emit(at, "debt_forgiven", 0, -self.over, None, "contract-change", reset.id)
            self.over = 0

    def _set(
        self, credit: Credit, has: Left, at: Instant, amount: Amount, emit: Emit, cause_type: str, cause_id: str
    ) -> None:
        """The balance is set: what that adds is lifted, what it takes is forfeited (L14)."""
        change = amount - has.amount
        has.amount = has.granted = amount
        if change:
            emit(at, "lifted" if change > 0 else "forfeited", change, 0, credit, cause_type, cause_id)


def next_instant(
    credits: Iterable[Credit], resets: Iterable[ResetAt], transfers: Iterable[Transfer], after: Instant
) -> Instant:
    """The first instant strictly after `after` at which something happens."""
    due = min((credit.next_event(after) for credit in credits), default=FOREVER)
    for reset in resets:
        if after < reset.time < due:
            due = reset.time
    for transfer in transfers:
        if after < transfer.time < due:
            due = transfer.time
    return due

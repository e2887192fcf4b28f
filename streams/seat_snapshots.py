"""Snapshots and corrections of seat counts, and the charges for them."""

from collections.abc import Iterator

import msgspec

from ledger.answers import Charge, Counts
from ledger.instants import ORIGIN, Instant, Span
from ledger.rows import Book
from streams.asking import Asked, Found
from streams.moment import Moment
from streams.notes import Notes, SeatsNote, cause, cause_of
from streams.said import SEATS, SeatsRow, charge_row, said_charge, seats_key
from wire.outputs import Message, charge_corrected, seats_changed, seats_charged, seats_corrected


class SeatSnapshots:
    """Says the counts of subscriptions as they are at a moment, and what is due for them. What was due longer ago than
    `settled_after` no fact changes any more, but one that takes an end away."""

    def __init__(self, moment: Moment, book: Book, notes: Notes, settled_after: Span) -> None:
        self._moment = moment
        self._book = book
        self._notes = notes
        self._settled_after = settled_after

    def correct(self, customer_id: str, contract_id: str, subscription_id: str, note: SeatsNote) -> Iterator[Message]:
        """What a late edit changed in the last counts said of a subscription."""
        key = seats_key(customer_id, contract_id, subscription_id)
        said = self._book.load(SEATS, key)
        asked = self._moment.ask(customer_id, self._moment.clock)
        found = asked.subscription(contract_id, subscription_id)
        if said is None or said.counts is None or found is None or note.since > said.at:
            return
        counts = asked.counts(found, said.at)
        if _shown(counts) != _shown(said.counts):
            occasion = self._moment.occasion(customer_id, contract_id, note.since, cause(note.cause), said.at)
            yield from seats_corrected(occasion, counts, said.counts, note.added, note.removed)
            said.counts = counts
            self._book.save(SEATS, key, said)

    def say(
        self, customer_id: str, contract_id: str, subscription_id: str, at: Instant | None = None
    ) -> Iterator[Message]:
        """Each change of a subscription's counts that was not said yet, and what is due for it: up to now, because of what
        was agreed, or up to an instant `at` that the clock passes."""
        note = self._notes.subscription(customer_id, contract_id, subscription_id) if at is None else None
        until = self._moment.clock if at is None else at
        asked = self._moment.ask(customer_id, self._moment.clock)
        found = asked.subscription(contract_id, subscription_id)
        if found is None:
            return
        key = seats_key(customer_id, contract_id, subscription_id)
        said = self._book.load(SEATS, key) or SeatsRow()
        if until < said.at:
            return  # said already, with what was agreed since
        told: list[tuple[Instant, tuple[str, ...], tuple[str, ...], tuple[str, str]]] = []
        for change_at, added, removed, edit_id in asked.changes(found, said.at, until):
            # The ends of a life are no edit's.
            why = ("seat.changed", edit_id) if edit_id else cause_of(note, change_at)
            told.append((change_at, added, removed, why))
        last_at = told[-1][0] if told else said.at
        if last_at > ORIGIN and (told or said.counts is not None):
            # What changed only the settings is no step of the seats.
            settled_at = until if note is None else min(until, max(note.since, last_at))
            told.append((settled_at, (), (), cause_of(note, settled_at)))
        for change_at, added, removed, why in told:
            counts = asked.counts(found, change_at)
            if said.counts is None or added or removed or _shown(counts) != _shown(said.counts):
                previous = 0 if said.counts is None else said.counts.total
                occasion = self._moment.occasion(customer_id, contract_id, change_at, why, change_at)
                yield from seats_changed(occasion, counts, previous, added, removed)
                said.at, said.counts = change_at, counts
        yield from self._charge(customer_id, asked, found, said, until, note)
        self._book.save(SEATS, key, said)

    def _charge(
        self, customer_id: str, asked: Asked, found: Found, said: SeatsRow, until: Instant, note: SeatsNote | None
    ) -> Iterator[Message]:
        """What has become due until then, and what a late fact changed in charges that were said."""
        contract_id, subscription_id = found[0].contract_id, found[1].subscription_id
        due = {_which(one): one for one in self._due(asked, found, said, until, note)}
        before = {_which(one): one for one in (said_charge(contract_id, subscription_id, row) for row in said.charged)}
        for which, charge in before.items():
            if which not in due and charge.time <= until:
                due[which] = _taken_back(charge)
        for which, charge in sorted(due.items(), key=lambda one: (one[1].time, one[0])):
            previous = before.get(which)
            if charge == previous:
                continue
            before[which] = charge
            # Unless time has passed, something was agreed that changes what is due.
            why = cause_of(note, charge.time)
            if previous is None:
                occasion = self._moment.occasion(customer_id, contract_id, charge.time, why, charge.time)
                yield from seats_charged(occasion, charge)
            else:
                occasion = self._moment.occasion(customer_id, contract_id, charge.time, why, until)
                yield from charge_corrected(occasion, charge, previous)
        # Where the clock has passed much at once, what follows is not said yet.
        said.charged_from = max(said.charged_from, until - self._settled_after)
        said.charged = [charge_row(one) for one in before.values() if _may_change(one, said.charged_from)]

    def _due(
        self, asked: Asked, found: Found, said: SeatsRow, until: Instant, note: SeatsNote | None
    ) -> Iterator[Charge]:
        """What may not have been said yet, or become another."""
        yield from asked.charges(found, said.charged_from, until + 1)
        if note is not None and note.since < said.charged_from:
            # An end that was long ago is no more: nothing was said of the seats that count since.
            for charge in asked.charges(found, note.since, said.charged_from):
                if charge.since >= note.since:
                    yield charge


def _which(charge: Charge) -> tuple[Instant, str]:
    """A subscription has one charge of a kind for each instant."""
    return charge.since, charge.kind


def _may_change(charge: Charge, settled: Instant) -> bool:
    """What was taken back may be due once more, with the next period."""
    return charge.time >= settled or (not charge.seats and charge.period_to >= settled)


def _taken_back(charge: Charge) -> Charge:
    return msgspec.structs.replace(charge, seats=0, amount=None if charge.amount is None else 0)


def _shown(counts: Counts) -> tuple[int, int, int, int, str | None]:
    """What makes a snapshot of seats worth saying again."""
    return counts.total, counts.assigned, counts.unassigned, counts.included, counts.feature_code

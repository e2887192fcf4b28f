"""Which snapshots leave: what was said of each scope and subscription, and what of it is different now.

While a batch is folded, `Publisher.note` writes down what each fact moved, which for a burn is a look-up or two. After it
`Publisher.messages` asks the ledger about what is due:

- A scope that burned is said at once, and then at most once in `SEATSTREAM_SNAPSHOT`.
- What was agreed anew (a grant, an edit, a contract) is said at once.
- Where a start, an end, a recurrence or a reset passes, whatever it changed is said as of that instant.
- A fact that reaches behind what was said last makes a correction, as of the snapshot that it corrects.

What was said is kept in rows, so that a restart goes on exactly there. Ids are made of causes (L18).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from zlib import crc32

import msgspec

from ledger import history, instants
from ledger.answers import Balance, Charge, Counts, GrantBalance
from ledger.facts import (
    AnyFact,
    BurnVoided,
    CreditBurn,
)
from ledger.history import nothing
from ledger.instants import FOREVER, ORIGIN, Instant, Span
from ledger.outcome import EverySeat, Folded, Scope
from ledger.rows import Book, Rows, instant_key, instant_of, text_of
from streams.asking import Asked
from streams.said import (
    AHEAD,
    DUE,
    SAID,
    SEATS,
    AheadRow,
    SaidRow,
    SeatsRow,
    ahead_key,
    balance_row,
    due_key,
    passing_key,
    said_balance,
    said_key,
    scope_row,
    seats_key,
)
from wire.outputs import (
    Message,
    Moved,
    Occasion,
    balance_corrected,
    balance_snapshot,
    seats_changed,
    seats_charged,
    seats_corrected,
)

#: So many scopes are remembered beside their rows.
MOST_MARKS = 500_000

# --- what is noted while a batch is folded ---------------------------------------------------------------------------


class Marks:
    """Of the scopes seen last: as of when they were said, and whether they are due already. It only saves reading rows."""

    def __init__(self) -> None:
        self.held: dict[Scope, tuple[Instant, Instant]] = {}

    def hold(self, scope: Scope, mark: tuple[Instant, Instant]) -> None:
        if len(self.held) >= MOST_MARKS:
            self.held.clear()
        self.held[scope] = mark


@dataclass(slots=True)
class _Note:
    """A scope moved: from when on, and the fact that did it first in event time."""

    since: Instant
    cause: AnyFact


@dataclass(slots=True)
class _SeatsNote:
    """A subscription's counts may be others from `since` on."""

    since: Instant
    cause: AnyFact
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Agreed:
    """What was agreed anew with a customer: the scopes and subscriptions that it moved, and those of whom all seats are."""

    scopes: dict[Scope, _Note] = field(default_factory=dict)
    every: list[tuple[EverySeat, AnyFact]] = field(default_factory=list)
    subscriptions: dict[tuple[str, str], _SeatsNote] = field(default_factory=dict)


K = TypeVar("K")


def _earlier(notes: dict[K, _Note], key: K, since: Instant, cause: AnyFact) -> None:
    note = notes.get(key)
    if note is None or since < note.since:
        notes[key] = _Note(since, cause)


# --- what leaves -----------------------------------------------------------------------------------------------------


class Publisher:
    """The snapshots of one batch. `rows` must hold everything folded when `messages` is called."""

    def __init__(self, rows: Rows, marks: Marks, *, every: Span, lateness: Span) -> None:
        self._rows = rows
        self._book = Book(rows)
        self._marks = marks
        self._every = every
        self._lateness = lateness
        self._burned: dict[Scope, _Note] = {}
        self._agreed: dict[str, _Agreed] = {}
        self._asked: dict[tuple[str, Instant], Asked] = {}
        self._clock = ORIGIN
        self._offsets: Mapping[str, int] = {}

    def note(self, fact: AnyFact, outcome: Folded) -> None:
        """A fact was folded."""
        burned = isinstance(fact, CreditBurn | BurnVoided)
        agreed = None if burned else self._agreed.setdefault(fact.customer_id, _Agreed())
        for changed in outcome.changed:
            if isinstance(changed, EverySeat):
                # Even a burn may name them, where debts are paid otherwise.
                self._agreed.setdefault(fact.customer_id, _Agreed()).every.append((changed, fact))
            elif agreed is None:
                self._moved(changed.scope, changed.since, fact)
            else:
                _earlier(agreed.scopes, changed.scope, changed.since, fact)
        for of in outcome.seats_changed:
            assert agreed is not None
            key = of.contract_id, of.subscription_id
            note = agreed.subscriptions.get(key)
            if note is None or of.since < note.since:
                result = outcome.result.get(of.subscription_id, {})
                added, removed = tuple(result.get("added", ())), tuple(result.get("removed", ()))
                agreed.subscriptions[key] = _SeatsNote(of.since, fact, added, removed)

    def messages(self, clock: Instant, offsets: Mapping[str, int]) -> Iterator[Message | None]:
        """What is to be said, now that the clock of the partition stands at `clock`. None: others may run."""
        self._clock, self._offsets = clock, offsets
        agreed = {customer_id: self._reach(customer_id, of) for customer_id, of in sorted(self._agreed.items())}
        # What was said is put right before anything is said on top of it.
        for customer_id, notes in agreed.items():
            for (contract_id, subscription_id), seats_note in sorted(self._agreed[customer_id].subscriptions.items()):
                yield from self._correct_seats(customer_id, contract_id, subscription_id, seats_note)
            for scope, note in notes.items():
                yield from self._correct(scope, note)
        fresh: list[tuple[Scope, _Note]] = []
        late: dict[Scope, _Note] = {}
        for scope, note in self._burned.items():
            at, due_at = self._mark(scope)
            if note.since <= at:
                _earlier(late, scope, note.since, note.cause)
            if due_at == FOREVER:
                fresh.append((scope, note))
        for scope, note in late.items():
            yield from self._correct(scope, note)
        yield from self._say_passed()
        for customer_id, notes in agreed.items():
            yield from self._say_agreed(customer_id, notes)
        for scope, note in fresh:
            yield from self._say_burned(scope, note)
        yield from self._say_due()
        self._book.close()

    # --- notes ---

    def _moved(self, scope: Scope, since: Instant, fact: AnyFact) -> None:
        note = self._burned.get(scope)
        if note is None:
            self._burned[scope] = _Note(since, fact)
        elif since < note.since:
            note.since, note.cause = since, fact

    def _reach(self, customer_id: str, agreed: _Agreed) -> dict[Scope, _Note]:
        """Every scope that what was agreed moved by now; what it moves later is said when it comes."""
        notes = {scope: note for scope, note in agreed.scopes.items() if note.since <= self._clock}
        for every, cause in agreed.every:
            if every.since <= self._clock:
                for scope in history.scopes(Book(self._rows), customer_id, every):
                    _earlier(notes, scope, every.since, cause)
        return notes

    # --- balances ---

    def _mark(self, scope: Scope) -> tuple[Instant, Instant]:
        """As of when a scope was said last, and when it is due next."""
        mark = self._marks.held.get(scope)
        if mark is None:
            said = self._said(scope)
            mark = said.at, said.due_at
            self._marks.hold(scope, mark)
        return mark

    def _said(self, scope: Scope) -> SaidRow:
        return self._book.load(SAID, said_key(scope)) or SaidRow()

    def _save(self, scope: Scope, said: SaidRow) -> None:
        self._book.save(SAID, said_key(scope), said)
        self._marks.hold(scope, (said.at, said.due_at))

    def _correct(self, scope: Scope, note: _Note) -> Iterator[Message | None]:
        """What a late fact changed in the last snapshot of a scope."""
        said = self._said(scope)
        if said.balance is None or note.since > said.at:
            return
        balance = self._balance(scope, said.at)
        now = balance_row(balance)
        if now == said.balance:
            return
        was, was_moved = said_balance(said.balance), said.moved
        said.burned = max(0, said.burned + _consumed(balance) - _consumed(was))
        said.balance = now
        occasion = self._occasion(scope.customer_id, scope.contract_id, note.since, _cause(note.cause), said.at)
        yield from balance_corrected(occasion, balance, said.moved, was, was_moved)
        self._save(scope, said)
        yield None

    def _say_agreed(self, customer_id: str, notes: Mapping[Scope, _Note]) -> Iterator[Message | None]:
        for contract_id, subscription_id in sorted(self._agreed[customer_id].subscriptions):
            yield from self._say_seats(customer_id, contract_id, subscription_id)
        for scope, of in notes.items():
            yield from self._say(scope, self._clock, _cause(of.cause))
        yield from self._look_ahead(customer_id, self._clock)

    def _say_burned(self, scope: Scope, note: _Note) -> Iterator[Message | None]:
        """At once where it was quiet for long enough; otherwise later."""
        said = self._said(scope)
        if said.due_at != FOREVER:
            return
        if said.said_at + self._every <= self._clock:
            yield from self._say(scope, self._now_of(scope), _cause(note.cause))
            return
        said.due_at = said.said_at + self._every
        self._book.save(DUE, due_key(said.due_at, scope), scope_row(scope))
        self._save(scope, said)

    def _say_due(self) -> Iterator[Message | None]:
        for _, row in self._book.scan(DUE, b"Pd", b"Pd" + instant_key(self._clock + 1)):
            scope = row.scope()
            due_at = self._said(scope).due_at
            yield from self._say(scope, self._now_of(scope), ("snapshot", instants.text(due_at)))

    def _now_of(self, scope: Scope) -> Instant:
        """Just after the customer's newest burn: what comes in order from here on is no correction."""
        return min(self._clock, self._ask(scope.customer_id, self._clock).who.folded_until + 1)

    def _say(
        self, scope: Scope, at: Instant, cause: tuple[str, str], before: Balance | None = None
    ) -> Iterator[Message | None]:
        """A snapshot as of an instant, where it differs from the last one. `before`: what was there just before it."""
        said = self._said(scope)
        at = max(at, said.at)
        balance = self._balance(scope, at)
        if said.due_at != FOREVER:
            self._book.drop(DUE, due_key(said.due_at, scope))
            said.due_at = FOREVER
        was = nothing(scope) if said.balance is None else said_balance(said.balance)
        now = balance_row(balance)
        if now != balance_row(was):
            moved = _moved(was, balance if before is None else before, balance)
            said.burned, said.adjusted, said.expired = moved.burned, moved.adjusted, moved.expired
            said.at, said.balance = at, now
            yield from balance_snapshot(
                self._occasion(scope.customer_id, scope.contract_id, at, cause, at), balance, moved
            )
        said.said_at = self._clock
        self._save(scope, said)
        yield None

    def _balance(self, scope: Scope, at: Instant) -> Balance:
        return self._ask(scope.customer_id, at).balance(scope)

    def _ask(self, customer_id: str, at: Instant) -> Asked:
        asked = self._asked.get((customer_id, at))
        if asked is None:
            asked = self._asked[customer_id, at] = Asked(self._rows, customer_id, at)
        return asked

    # --- what happens by itself ---

    def _say_passed(self) -> Iterator[Message | None]:
        """Starts, ends, recurrences, resets, scheduled edits and billing periods that the clock has passed."""
        for key, _ in self._book.scan(AHEAD, b"Pn", b"Pn" + instant_key(self._clock + 1)):
            customer_id = text_of(key[10:])
            at = instant_of(key[2:10])
            while at <= self._clock:
                yield from self._say_instant(customer_id, at)
                at = _next(history.next_due(Book(self._rows), customer_id, at))
            self._put_ahead(customer_id, at)

    def _say_instant(self, customer_id: str, at: Instant) -> Iterator[Message | None]:
        for contract_id, subscription_id in self._ask(customer_id, self._clock).subscriptions():
            yield from self._say_seats(customer_id, contract_id, subscription_id, at)
        cause = "time", instants.text(at)
        named = history.whose_due(Book(self._rows), customer_id, at)
        scopes = (scope for one in named for scope in history.scopes(Book(self._rows), customer_id, one))
        for scope in dict.fromkeys(scopes):
            was = self._ask(customer_id, at - 1).balance(scope)
            if was != self._balance(scope, at):
                yield from self._say(scope, at, cause, was)

    def _look_ahead(self, customer_id: str, at: Instant) -> Iterator[None]:
        self._put_ahead(customer_id, _next(history.next_due(Book(self._rows), customer_id, at)))
        yield None

    def _put_ahead(self, customer_id: str, next_at: Instant) -> None:
        row = self._book.load(AHEAD, ahead_key(customer_id)) or AheadRow()
        if row.next_at != next_at:
            if row.next_at != FOREVER:
                self._book.drop(AHEAD, passing_key(row.next_at, customer_id))
            if next_at != FOREVER:
                self._book.save(AHEAD, passing_key(next_at, customer_id), AheadRow(next_at))
            self._book.save(AHEAD, ahead_key(customer_id), AheadRow(next_at))

    # --- seats and charges ---

    def _correct_seats(
        self, customer_id: str, contract_id: str, subscription_id: str, note: _SeatsNote
    ) -> Iterator[Message | None]:
        """What a late edit changed in the last counts said of a subscription."""
        key = seats_key(customer_id, contract_id, subscription_id)
        said = self._book.load(SEATS, key)
        asked = self._ask(customer_id, self._clock)
        found = asked.subscription(contract_id, subscription_id)
        if said is None or said.counts is None or found is None or note.since > said.at:
            return
        counts = asked.counts(found, said.at)
        if _shown(counts) != _shown(said.counts):
            occasion = self._occasion(customer_id, contract_id, note.since, _cause(note.cause), said.at)
            yield from seats_corrected(occasion, counts, said.counts, note.added, note.removed)
            said.counts = counts
            self._book.save(SEATS, key, said)

    def _say_seats(
        self, customer_id: str, contract_id: str, subscription_id: str, at: Instant | None = None
    ) -> Iterator[Message | None]:
        """Each change of a subscription's counts that was not said yet, and what is due for it: up to now, because of what
        was agreed, or up to an instant `at` that the clock passes."""
        note = self._agreed[customer_id].subscriptions.get((contract_id, subscription_id)) if at is None else None
        until = self._clock if at is None else at
        asked = self._ask(customer_id, self._clock)
        found = asked.subscription(contract_id, subscription_id)
        if found is None:
            return
        key = seats_key(customer_id, contract_id, subscription_id)
        said = self._book.load(SEATS, key) or SeatsRow()
        told: list[tuple[Instant, tuple[str, ...], tuple[str, ...], tuple[str, str]]] = []
        for change_at, added, removed, edit_id in asked.changes(found, said.at, until):
            # The ends of a life are no edit's.
            cause = ("seat.changed", edit_id) if edit_id else _cause_of(note, change_at)
            told.append((change_at, added, removed, cause))
        last_at = told[-1][0] if told else said.at
        if last_at > ORIGIN and (told or said.counts is not None):
            # What changed only the settings is no step of the seats.
            settled_at = until if note is None else min(until, max(note.since, last_at))
            told.append((settled_at, (), (), _cause_of(note, settled_at)))
        for change_at, added, removed, cause in told:
            counts = asked.counts(found, change_at)
            if said.counts is None or added or removed or _shown(counts) != _shown(said.counts):
                previous = 0 if said.counts is None else said.counts.total
                occasion = self._occasion(customer_id, contract_id, change_at, cause, change_at)
                yield from seats_changed(occasion, counts, previous, added, removed)
                said.at, said.counts = change_at, counts
        for charge, cause in self._charges(asked.charges(found, said.charged_from, until + 1), said, customer_id, at):
            yield from seats_charged(self._occasion(customer_id, contract_id, charge.time, cause, charge.time), charge)
        self._book.save(SEATS, key, said)
        yield None

    def _charges(
        self, due: list[Charge], said: SeatsRow, customer_id: str, at: Instant | None
    ) -> Iterator[tuple[Charge, tuple[str, str]]]:
        """The charges that were not said yet, each with a cause of its own."""
        known = {(at, checksum, nth) for at, checksum, nth in said.charged}
        alike: Counter[tuple[Instant, int]] = Counter()
        named: Counter[tuple[Instant, str]] = Counter()
        for charge in due:
            checksum = crc32(msgspec.json.encode(charge))
            nth = alike[charge.time, checksum]
            alike[charge.time, checksum] += 1
            if (charge.time, checksum, nth) in known:
                continue
            said.charged.append((charge.time, checksum, nth))
            note = None
            if charge.time != at and customer_id in self._agreed:
                # Not because time has passed: something was agreed that changes what is due.
                key = charge.contract_id, charge.subscription_id
                note = self._agreed[customer_id].subscriptions.get(key)
            type, id = _cause_of(note, charge.time)
            # With the next period several may be due at one instant.
            named[charge.time, charge.kind] += 1
            order = named[charge.time, charge.kind]
            yield charge, (type, id if order == 1 else f"{id}#{order}")
        settled = self._clock - self._lateness
        if settled > said.charged_from:
            said.charged_from = settled
            said.charged = [one for one in said.charged if one[0] >= settled]

    def _occasion(
        self, customer_id: str, contract_id: str | None, time: Instant, cause: tuple[str, str], at: Instant
    ) -> Occasion:
        """`at`: as of when the numbers are."""
        return Occasion(
            customer_id=customer_id, contract_id=contract_id, time=time, cause_type=cause[0], cause_id=cause[1],
            as_of={"event_time": instants.text(at), "offsets": dict(self._offsets)},
        )  # fmt: skip


def _consumed(balance: Balance) -> int:
    return sum(grant.granted - grant.balance for grant in balance.grants)


def _moved(said: Balance, before: Balance, now: Balance) -> Moved:
    """What happened since the snapshot before. `before` is `now` but for what its instant itself did: between two
    snapshots nothing starts, ends or recurs, so what a grant was given tells its adjustments, and what it lost its burns."""
    was = {_name(grant): grant for grant in said.grants}
    left = {_name(grant) for grant in now.grants}
    burned = adjusted = expired = 0
    for grant in before.grants:
        earlier = was.get(_name(grant))
        burned += grant.granted - grant.balance
        if earlier is not None:
            burned -= earlier.granted - earlier.balance
            adjusted += grant.granted - earlier.granted
        if _name(grant) not in left:
            expired += grant.balance
    return Moved(burned=max(0, burned), adjusted=adjusted, expired=expired)


def _name(grant: GrantBalance) -> tuple[str, int | None, Instant]:
    return grant.grant_id, grant.slice, grant.effective_at


def _shown(counts: Counts) -> tuple[int, int, int, int, str | None]:
    """What makes a snapshot of seats worth saying again."""
    return counts.total, counts.assigned, counts.unassigned, counts.included, counts.feature_code


def _cause(fact: AnyFact) -> tuple[str, str]:
    return ("credit-burn" if isinstance(fact, CreditBurn) else str(fact.__struct_config__.tag)), fact.id


def _cause_of(note: _SeatsNote | None, at: Instant) -> tuple[str, str]:
    return ("time", instants.text(at)) if note is None else _cause(note.cause)


def _next(at: Instant | None) -> Instant:
    return FOREVER if at is None else at

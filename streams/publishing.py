"""Which snapshots leave: what was said of each scope and subscription, and what of it is different now.

While a batch is folded, `Notes` (streams/notes.py) writes down what each fact moved, which for a burn is a look-up or two.
After it `Publisher` asks the ledger about what is due:

- A scope that burned is said at once, and then at most once in `SEATSTREAM_SNAPSHOT`.
- What was agreed anew (a grant, an edit, a contract) is said at once.
- Where a start, an end, a recurrence or a reset passes, whatever it changed is said as of that instant.
- A fact that reaches behind what was said last makes a correction, as of the snapshot that it corrects.

What was said is kept in rows (streams/said.py), so that a restart goes on exactly there. Ids are made of causes (L18).
"""

from collections.abc import Iterator, Mapping

from ledger import history, instants
from ledger.instants import FOREVER, Instant, Span
from ledger.outcome import Scope
from ledger.rows import instant_key, instant_of, text_of
from streams.balance_snapshots import BalanceSnapshots, Marks
from streams.moment import Moment
from streams.notes import Note, Notes, SeatsNote, cause, earlier
from streams.said import AHEAD, AheadRow, ahead_key, passing_key
from streams.seat_snapshots import SeatSnapshots
from wire.outputs import Message


class Publisher:
    """The snapshots of one batch, at the moment of its end."""

    def __init__(self, moment: Moment, notes: Notes, marks: Marks, *, every: Span, lateness: Span) -> None:
        self._moment = moment
        self._notes = notes
        self._book = moment.book()
        self._balances = BalanceSnapshots(moment, self._book, marks, every)
        self._seats = SeatSnapshots(moment, self._book, notes, lateness)

    def messages(self) -> Iterator[Message]:
        """What is to be said."""
        moment, notes = self._moment, self._notes
        agreed = {who: notes.reached(moment.book(), who, moment.clock) for who in sorted(notes.agreed)}
        # What was said is put right before anything is said on top of it.
        for customer_id, moved in agreed.items():
            for (contract_id, subscription_id), seats_note in self._subscriptions(customer_id):
                yield from self._seats.correct(customer_id, contract_id, subscription_id, seats_note)
            for scope, note in moved.items():
                yield from self._balances.correct(scope, note)
        fresh: list[tuple[Scope, Note]] = []
        late: dict[Scope, Note] = {}
        for scope, note in notes.burned.items():
            at, due_at = self._balances.mark(scope)
            if note.since <= at:
                earlier(late, scope, note.since, note.cause)
            if due_at == FOREVER:
                fresh.append((scope, note))
        for scope, note in late.items():
            yield from self._balances.correct(scope, note)
        yield from self._say_passed()
        for customer_id, moved in agreed.items():
            yield from self._say_agreed(customer_id, moved)
        for scope, note in fresh:
            yield from self._balances.say_burned(scope, note)
        yield from self._balances.say_due()
        self._book.close()

    # --- what was agreed ---

    def _say_agreed(self, customer_id: str, moved: Mapping[Scope, Note]) -> Iterator[Message]:
        for (contract_id, subscription_id), _ in self._subscriptions(customer_id):
            yield from self._seats.say(customer_id, contract_id, subscription_id)
        for scope, of in moved.items():
            yield from self._balances.say(scope, self._moment.clock, cause(of.cause))
        self._put_ahead(customer_id, _next(history.next_due(self._moment.book(), customer_id, self._moment.clock)))

    def _subscriptions(self, customer_id: str) -> list[tuple[tuple[str, str], SeatsNote]]:
        subscriptions = self._notes.agreed[customer_id].subscriptions
        return [(key, subscriptions[key]) for key in sorted(subscriptions)]

    # --- what happens by itself ---

    def _say_passed(self) -> Iterator[Message]:
        """Starts, ends, recurrences, resets, scheduled edits and billing periods that the clock has passed."""
        for key, _ in self._book.scan(AHEAD, b"Pn", b"Pn" + instant_key(self._moment.clock + 1)):
            customer_id = text_of(key[10:])
            at = instant_of(key[2:10])
            while at <= self._moment.clock:
                yield from self._say_instant(customer_id, at)
                at = _next(history.next_due(self._moment.book(), customer_id, at))
            self._put_ahead(customer_id, at)

    def _say_instant(self, customer_id: str, at: Instant) -> Iterator[Message]:
        for contract_id, subscription_id in self._moment.ask(customer_id, self._moment.clock).subscriptions():
            yield from self._seats.say(customer_id, contract_id, subscription_id, at)
        why = "time", instants.text(at)
        named = history.whose_due(self._moment.book(), customer_id, at)
        scopes = (scope for one in named for scope in history.scopes(self._moment.book(), customer_id, one))
        for scope in dict.fromkeys(scopes):
            was = self._moment.ask(customer_id, at - 1).balance(scope)
            if was != self._moment.balance(scope, at):
                yield from self._balances.say(scope, at, why, was)

    def _put_ahead(self, customer_id: str, next_at: Instant) -> None:
        row = self._book.load(AHEAD, ahead_key(customer_id)) or AheadRow()
        if row.next_at != next_at:
            if row.next_at != FOREVER:
                self._book.drop(AHEAD, passing_key(row.next_at, customer_id))
            if next_at != FOREVER:
                self._book.save(AHEAD, passing_key(next_at, customer_id), AheadRow(next_at))
            self._book.save(AHEAD, ahead_key(customer_id), AheadRow(next_at))


def _next(at: Instant | None) -> Instant:
    return FOREVER if at is None else at

"""Which snapshots leave: what was said of each scope and subscription, and what of it is different now.

While a batch is folded, `Notes` (streams/notes.py) writes down what each fact moved, which for a burn is a look-up or two.
After it `Publisher` asks the ledger about what is due:

- A scope that burned is said at once, and then at most once in `SEATSTREAM_SNAPSHOT`.
- What was agreed anew (a grant, an edit, a contract) is said at once.
- Where a start, an end, a recurrence or a reset passes, whatever it changed is said as of that instant.
- A fact that reaches behind what was said last makes a correction, as of the snapshot that it corrects.

Where much is to be said, some scopes are said with each batch (streams/tasks.py); until all are, the fold is unfinished.
What was said is kept in rows (streams/said.py), so that a restart goes on exactly there. Ids are made of causes (L18).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ledger import history
from ledger.instants import FOREVER, Instant, Span
from ledger.outcome import Changed, Scope
from ledger.rows import Book, instant_key, text_of
from streams.balance_snapshots import BalanceSnapshots, Marks
from streams.moment import Moment
from streams.notes import Note, Notes, SeatsNote, cause, earlier
from streams.said import AHEAD, AheadRow, ahead_key, passing_key, scope_row
from streams.seat_snapshots import SeatSnapshots
from streams.tasks import Named, TaskRow, Tasks, named, pass_to
from wire.outputs import Message

#: So many scopes are said because of what a batch burned, as many because they are due, and as many because of all else: a
#: fraction of a millisecond each. Facts wait for no more.
SCOPES_A_STEP: Final = 100
#: So many that are due are looked at for that.
KEYS_A_STEP: Final = 1_000


class Publisher:
    """The snapshots of one batch, at the moment of its end."""

    def __init__(self, moment: Moment, notes: Notes, marks: Marks, *, every: Span, settled_after: Span) -> None:
        self._moment = moment
        self._notes = notes
        self._book = moment.book()
        self._tasks = Tasks(self._book)
        self._balances = BalanceSnapshots(moment, self._book, self._tasks, marks, every)
        self._seats = SeatSnapshots(moment, self._book, notes, settled_after)
        #: Whether more is to be said than was; known once all `messages` are taken.
        self.unfinished = False

    def messages(self) -> Iterator[Message]:
        """What is to be said."""
        fresh: list[tuple[Scope, Note]] = []
        late: dict[Scope, Note] = {}
        for scope, note in self._notes.burned.items():
            at, due_at = self._balances.mark(scope)
            if note.since <= at:
                earlier(late, scope, note.since, note.cause)
            if due_at == FOREVER:
                fresh.append((scope, note))
        # What was said is put right before anything is said on top of it.
        yield from self._correct_agreed()
        for scope, note in late.items():
            yield from self._balances.correct(scope, note.since, cause(note.cause))
        yield from self._say_agreed()
        for key in list(islice(self._passing(), SCOPES_A_STEP)):
            self._pass(text_of(key[10:]))
        yield from self._go_on()
        for number, (scope, note) in enumerate(fresh):
            self._pass(scope.customer_id)
            at_once = number < SCOPES_A_STEP and not self._tasks.is_passing(scope.customer_id)
            yield from self._balances.say_burned(scope, cause(note.cause), at_once=at_once)
        yield from self._say_due()
        self.unfinished = self._tasks.close() or _any(self._passing()) or _any(self._balances.due())
        self._book.close()

    def _say_due(self) -> Iterator[Message]:
        """Those whose time for a snapshot has come, but for whom something that has happened by itself is still to be said."""
        room = SCOPES_A_STEP
        for key in list(islice(self._balances.due(), KEYS_A_STEP)):
            scope = self._balances.scope_due(key)
            self._pass(scope.customer_id)
            if not self._tasks.is_passing(scope.customer_id):
                yield from self._balances.say_due(scope)
                room -= 1
                if not room:
                    return

    def _go_on(self) -> Iterator[Message]:
        """What is still to be said, a step of it."""
        room = SCOPES_A_STEP
        while room > 0 and (task := self._tasks.first()) is not None:
            scopes = self._scopes(task, room)
            for scope in scopes:
                yield from self._balances.do(task, scope)
            room -= len(scopes)
            done = False
            if not (task.scopes or task.every):
                at = FOREVER if task.kind != "pass" else self._moment.next_due(task.customer_id, task.at)
                done = at > task.until
                if not done:
                    room -= 1
                    yield from self._come_to(task, at)
            self._tasks.go_on(task, done=done)

    def _scopes(self, task: TaskRow, room: int) -> list[Scope]:
        """The next scopes of a task, which from now on counts as if they were done."""
        if task.scopes:
            scopes = [row.scope() for row in task.scopes[:room]]
            del task.scopes[:room]
            return scopes
        if not task.every:
            return []
        behind = None if task.behind is None else task.behind.scope()
        found = history.scopes(self._moment.book(), task.customer_id, named(task.every[0]), behind)
        scopes = list(islice(found, room))
        task.behind = scope_row(scopes[-1]) if len(scopes) == room else None
        if task.behind is None:
            del task.every[0]
        return scopes

    # --- what was agreed ---

    def _correct_agreed(self) -> Iterator[Message]:
        for customer_id in sorted(self._notes.agreed):
            for (contract_id, subscription_id), seats_note in self._subscriptions(customer_id):
                yield from self._seats.correct(customer_id, contract_id, subscription_id, seats_note)
            for note, moved in self._moved(customer_id):
                self._tasks.add("correct", customer_id, note.since, cause(note.cause), moved)

    def _say_agreed(self) -> Iterator[Message]:
        for customer_id in sorted(self._notes.agreed):
            self._pass(customer_id)
            for (contract_id, subscription_id), _ in self._subscriptions(customer_id):
                yield from self._seats.say(customer_id, contract_id, subscription_id)
            for note, moved in self._moved(customer_id):
                self._tasks.add("say", customer_id, self._moment.clock, cause(note.cause), moved)

    def _subscriptions(self, customer_id: str) -> list[tuple[tuple[str, str], SeatsNote]]:
        subscriptions = self._notes.agreed[customer_id].subscriptions
        return [(key, subscriptions[key]) for key in sorted(subscriptions)]

    def _moved(self, customer_id: str) -> list[tuple[Note, list[Named]]]:
        """What was agreed that counts by now, what came first in event time first; what counts later is said when it comes."""
        agreed = self._notes.agreed[customer_id]
        moved: dict[tuple[Instant, str, str], tuple[Note, list[Named]]] = {}
        every: list[tuple[Named, Note]] = list(agreed.every.items())
        scopes: list[tuple[Named, Note]] = [
            (Changed(scope=scope, since=note.since), note) for scope, note in agreed.scopes.items()
        ]
        for what, note in scopes + every:
            if note.since <= self._moment.clock:
                moved.setdefault((note.since, *cause(note.cause)), (note, []))[1].append(what)
        return [moved[key] for key in sorted(moved)]

    # --- what happens by itself: starts, ends, recurrences, resets, scheduled edits, billing periods ---

    def _passing(self) -> Iterator[bytes]:
        """The keys of the customers to whom the clock has brought something."""
        return self._book.keys(AHEAD, b"Pn", b"Pn" + instant_key(self._moment.clock + 1))

    def _pass(self, customer_id: str) -> None:
        """From here on what the clock has brought to a customer is said before all else."""
        row = self._book.load(AHEAD, ahead_key(customer_id))
        if row is not None and row.next_at <= self._moment.clock:
            self._tasks.add_pass(customer_id, row.next_at, self._moment.clock)
            put_ahead(self._book, customer_id, self._moment.next_due(customer_id, self._moment.clock))

    def _come_to(self, task: TaskRow, at: Instant) -> Iterator[Message]:
        customer_id = task.customer_id
        for contract_id, subscription_id in self._moment.ask(customer_id, self._moment.clock).subscriptions():
            yield from self._seats.say(customer_id, contract_id, subscription_id, at)
        pass_to(task, at, history.whose_due(self._moment.book(), customer_id, at))


def put_ahead(book: Book, customer_id: str, next_at: Instant) -> None:
    """Notes when something happens next by itself to a customer."""
    row = book.load(AHEAD, ahead_key(customer_id)) or AheadRow()
    if row.next_at != next_at:
        if row.next_at != FOREVER:
            book.drop(AHEAD, passing_key(row.next_at, customer_id))
        if next_at != FOREVER:
            book.save(AHEAD, passing_key(next_at, customer_id), AheadRow(next_at))
        book.save(AHEAD, ahead_key(customer_id), AheadRow(next_at))


def _any(keys: Iterator[bytes]) -> bool:
    return next(keys, None) is not None

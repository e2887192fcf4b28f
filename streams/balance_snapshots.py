"""Snapshots and corrections of balances: what was said last of each scope, and what of it is different now."""

from collections.abc import Iterator

from ledger import instants
from ledger.answers import Balance, GrantBalance
from ledger.history import nothing
from ledger.instants import FOREVER, Instant, Span
from ledger.outcome import Scope
from ledger.rows import Book, instant_key
from streams.moment import Moment
from streams.said import DUE, SAID, SaidRow, balance_row, due_key, said_balance, said_key, scope_row
from streams.tasks import TaskRow, Tasks, names
from wire.outputs import Message, Moved, balance_corrected, balance_snapshot

#: So many scopes are remembered beside their rows.
MOST_MARKS = 500_000


class Marks:
    """Of the scopes seen last: as of when they were said, and whether they are due already. It only saves reading rows."""

    def __init__(self) -> None:
        self.held: dict[Scope, tuple[Instant, Instant]] = {}

    def hold(self, scope: Scope, mark: tuple[Instant, Instant]) -> None:
        if len(self.held) >= MOST_MARKS:
            self.held.clear()
        self.held[scope] = mark


class BalanceSnapshots:
    """Says balances as they are at a moment, each scope at most once in `every` because of its burns."""

    def __init__(self, moment: Moment, book: Book, tasks: Tasks, marks: Marks, every: Span) -> None:
        self._moment = moment
        self._book = book
        self._tasks = tasks
        self._marks = marks
        self._every = every

    def mark(self, scope: Scope) -> tuple[Instant, Instant]:
        """As of when a scope was said last, and when it is due next."""
        mark = self._marks.held.get(scope)
        if mark is None:
            said = self._said(scope)
            mark = said.at, said.due_at
            self._marks.hold(scope, mark)
        return mark

    # --- one after the other, in the order in which it came up ---

    def do(self, task: TaskRow, scope: Scope) -> Iterator[Message]:
        """What a task says of a scope; nothing, where that was said already. Of a pass, what the instant says that is passing."""
        match task.kind:
            case "correct":
                yield from self.correct(scope, task.at, task.cause)
            case "say":
                yield from self._say(scope, task.at, task.cause)
            case "pass":
                yield from self._pass(scope, task.at)

    def _catch_up(self, scope: Scope) -> Iterator[Message]:
        """All that is still to be said of a scope before anything else is, where nothing is passing."""
        for task in self._tasks.of(scope.customer_id):
            if names(task, scope):
                yield from self.do(task, scope)

    def _pass(self, scope: Scope, at: Instant) -> Iterator[Message]:
        if self._said(scope).at < at:
            was = self._moment.balance(scope, at - 1)
            if was != self._moment.balance(scope, at):
                yield from self._say(scope, at, ("time", instants.text(at)), was)

    def correct(self, scope: Scope, since: Instant, cause: tuple[str, str]) -> Iterator[Message]:
        """What a late fact changed in the last snapshot of a scope."""
        said = self._said(scope)
        if said.balance is None or since > said.at:
            return
        balance = self._moment.balance(scope, said.at)
        now = balance_row(balance)
        if now == said.balance:
            return
        was, was_moved = said_balance(said.balance), said.moved
        said.burned = max(0, said.burned + _consumed(balance) - _consumed(was))
        said.balance = now
        occasion = self._moment.occasion(scope.customer_id, scope.contract_id, since, cause, said.at)
        yield from balance_corrected(occasion, balance, said.moved, was, was_moved)
        self._save(scope, said)

    # --- what burned ---

    def say_burned(self, scope: Scope, cause: tuple[str, str], *, at_once: bool) -> Iterator[Message]:
        """Where it was quiet for long enough, now or, unless `at_once`, in one of the next steps; otherwise later."""
        said = self._said(scope)
        if said.due_at != FOREVER:
            return
        quiet = said.said_at + self._every <= self._moment.clock
        if quiet and at_once:
            yield from self._catch_up(scope)
            yield from self._say(scope, self._now_of(scope), cause)
            return
        self._put_due(scope, said, self._moment.clock if quiet else said.said_at + self._every)
        self._save(scope, said)

    def due(self) -> Iterator[bytes]:
        """The keys of those that burned and whose time for a snapshot has come."""
        return self._book.keys(DUE, b"Pd", b"Pd" + instant_key(self._moment.clock + 1))

    def scope_due(self, key: bytes) -> Scope:
        row = self._book.load(DUE, key)
        assert row is not None
        return row.scope()

    def say_due(self, scope: Scope) -> Iterator[Message]:
        due_at = self._said(scope).due_at
        yield from self._catch_up(scope)
        if self._said(scope).due_at != FOREVER:
            yield from self._say(scope, self._now_of(scope), ("snapshot", instants.text(due_at)))

    def _now_of(self, scope: Scope) -> Instant:
        """Just after the customer's newest burn: what comes in order from here on is no correction."""
        return min(self._moment.clock, self._moment.ask(scope.customer_id, self._moment.clock).newest() + 1)

    def _say(
        self, scope: Scope, at: Instant, cause: tuple[str, str], before: Balance | None = None
    ) -> Iterator[Message]:
        """A snapshot as of an instant, where it differs from the last one. `before`: what was there just before it.

        What was said as of this instant or a later one is not said again: where it is another by now, a fact that came late
        has a correction to say."""
        said = self._said(scope)
        is_new = False
        if said.balance is None or at > said.at:
            balance = self._moment.balance(scope, at)
            was = nothing(scope) if said.balance is None else said_balance(said.balance)
            now = balance_row(balance)
            is_new = now != balance_row(was)
            if is_new:
                moved = _moved(was, balance if before is None else before, balance)
                said.burned, said.adjusted, said.expired = moved.burned, moved.adjusted, moved.expired
                said.at, said.balance = at, now
                yield from balance_snapshot(
                    self._moment.occasion(scope.customer_id, scope.contract_id, at, cause, at), balance, moved
                )
        said.said_at = self._moment.clock
        self._put_due(scope, said, self._due_after(scope, said, max(at, said.at), is_new))
        self._save(scope, said)

    def _due_after(self, scope: Scope, said: SaidRow, at: Instant, is_new: bool) -> Instant:
        """When a scope is to be looked at again that was looked at as of an instant: it may have burned later than that."""
        newest = self._moment.ask(scope.customer_id, self._moment.clock).newest_burn(scope)
        if newest < at:
            return FOREVER
        if newest < self._moment.clock:
            return said.due_at
        # Stamped ahead of the clock: it counts when the clock is there.
        return max(newest + 1, self._moment.clock + self._every) if is_new else newest + 1

    def _put_due(self, scope: Scope, said: SaidRow, due_at: Instant) -> None:
        if due_at != said.due_at:
            if said.due_at != FOREVER:
                self._book.drop(DUE, due_key(said.due_at, scope))
            if due_at != FOREVER:
                self._book.save(DUE, due_key(due_at, scope), scope_row(scope))
            said.due_at = due_at

    def _said(self, scope: Scope) -> SaidRow:
        return self._book.load(SAID, said_key(scope)) or SaidRow()

    def _save(self, scope: Scope, said: SaidRow) -> None:
        self._book.save(SAID, said_key(scope), said)
        self._marks.hold(scope, (said.at, said.due_at))


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

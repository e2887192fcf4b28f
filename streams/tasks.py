"""What is still to be said of scopes, in the order in which it came up: said in steps of bounded count (L17).

A contract may have 100,000 seats. What moves all of them is one task, done a few scopes at a time by batch after batch, while
facts go on being folded. Who says something of a scope earlier does first what these tasks would say of it
(`Tasks.of`), or waits where an instant is still passing, so that nothing is said out of order.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from ledger.instants import Instant
from ledger.outcome import Changed, EverySeat, Scope
from ledger.row import Row
from ledger.rows import Book, Kind, after, text_key
from streams.said import ScopeRow, scope_row

Named: TypeAlias = Changed | EverySeat

#: So many scopes are named by one task, so that its row stays small.
NAMED_MOST = 100

#: "correct": what a fact changed that had been said; "say": what was agreed; "pass": what changes by itself at the instants that
#: the clock has passed.
Kinds = Literal["correct", "say", "pass"]


class EveryRow(Row):
    contract_id: str
    subscription_id: str | None
    credit_type: str
    since: Instant


class TaskRow(Row):
    """`at`: what is corrected from then on, as of when it is said, which instant is passing, and `until` the last one that is.
    `scopes` and `every` are still to do, `behind` the last scope that is done of the first of `every`."""

    kind: Kinds
    customer_id: str
    at: Instant
    until: Instant
    cause: tuple[str, str]
    scopes: list[ScopeRow]
    every: list[EveryRow]
    behind: ScopeRow | None = None


class TurnRow(Row):
    """Which task of a customer's has which turn; the key says it all."""


TASK = Kind("state", b"P", TaskRow)
TURN = Kind("state", b"P", TurnRow)
_FIRST, _LAST = b"Pt", b"Pu"
_OF = b"Pv"


class Tasks:
    """The tasks of one partition during one batch; `close` writes down those that are left."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._key = next(book.keys(TASK, _FIRST, _LAST), None)
        self._new: deque[TaskRow] = deque()
        self._new_of: dict[str, list[TaskRow]] = {}

    def add(self, kind: Kinds, customer_id: str, at: Instant, cause: tuple[str, str], named: Sequence[Named]) -> None:
        scopes, every = _rows(named)
        for start in range(0, len(scopes), NAMED_MOST):
            self._add(TaskRow(kind, customer_id, at, at, cause, scopes[start : start + NAMED_MOST], []))
        if every and not self._is_awaited(kind, customer_id, at, cause, every):
            self._add(TaskRow(kind, customer_id, at, at, cause, [], every))

    def _is_awaited(
        self, kind: Kinds, customer_id: str, at: Instant, cause: tuple[str, str], every: list[EveryRow]
    ) -> bool:
        """Whether a task that has not begun yet does this one's work too. So there are never more than two for the same seats,
        however fast facts about all of them come."""
        found = None
        for key, task in self._keyed(customer_id):
            if task.kind == "pass" and kind == "say":
                found = None  # what passes is said before
            elif task.kind == kind and task.behind is None and task is not self.first() and _alike(task, every):
                found = key, task
        if found is None:
            return False
        key, task = found
        if kind == "say" or at < task.at:
            task.at, task.until, task.cause = at, at, cause
            if key is not None:
                self._book.save(TASK, key, task)
        return True

    def add_pass(self, customer_id: str, first: Instant, until: Instant) -> None:
        """The instants from one on at which something happens; `pass_to` names whose they are."""
        self._add(TaskRow("pass", customer_id, first - 1, until, ("", ""), [], []))

    def _add(self, task: TaskRow) -> None:
        self._new.append(task)
        self._new_of.setdefault(task.customer_id, []).append(task)

    def first(self) -> TaskRow | None:
        """Whose turn it is."""
        if self._key is not None:
            return self._book.load(TASK, self._key)
        return self._new[0] if self._new else None

    def go_on(self, task: TaskRow, *, done: bool) -> None:
        """Says how far the first one is now."""
        if self._key is None:
            if done:
                self._new.popleft()
                self._new_of[task.customer_id].remove(task)
        elif done:
            self._book.drop(TASK, self._key)
            self._book.drop(TURN, _turn_key(task.customer_id, self._key))
            self._key = next(self._book.keys(TASK, _FIRST, _LAST), None)
        else:
            self._book.save(TASK, self._key, task)

    def is_passing(self, customer_id: str) -> bool:
        """Whether it is still to be said what has happened to a customer by itself."""
        return any(task.kind == "pass" for task in self.of(customer_id))

    def of(self, customer_id: str) -> Iterator[TaskRow]:
        """What is still to be said of a customer, in order."""
        return (task for _, task in self._keyed(customer_id))

    def _keyed(self, customer_id: str) -> Iterator[tuple[bytes | None, TaskRow]]:
        """With the key of each that is written down."""
        if self._key is not None:
            prefix = _OF + text_key(customer_id)
            for turn in list(self._book.keys(TURN, prefix, after(prefix))):
                key = _FIRST + turn[-8:]
                task = self._book.load(TASK, key)
                assert task is not None
                yield key, task
        yield from [(None, task) for task in self._new_of.get(customer_id, ())]

    def close(self) -> bool:
        """Writes down what is left; whether anything is."""
        turn = 0
        if self._new and self._key is not None:
            last = next(iter(self._book.scan_lazily(TASK, _FIRST, _LAST, reverse=True)))[0]
            turn = int.from_bytes(last[-8:], "big") + 1
        for number, task in enumerate(self._new, turn):
            key = _FIRST + number.to_bytes(8, "big")
            self._book.save(TASK, key, task)
            self._book.save(TURN, _turn_key(task.customer_id, key), TurnRow())
        return self._key is not None or bool(self._new)


def _turn_key(customer_id: str, key: bytes) -> bytes:
    return _OF + text_key(customer_id) + key[-8:]


def _alike(task: TaskRow, every: list[EveryRow]) -> bool:
    """Whether a task is about just these seats."""

    def whose(rows: list[EveryRow]) -> list[tuple[str, str | None, str]]:
        return [(row.contract_id, row.subscription_id, row.credit_type) for row in rows]

    return not task.scopes and whose(task.every) == whose(every)


def names(task: TaskRow, scope: Scope) -> bool:
    """Whether a task has something to say of a scope."""
    return (
        any(one.contract_id == scope.contract_id and one.credit_type == scope.credit_type for one in task.every)
        or scope_row(scope) in task.scopes
    )


def pass_to(task: TaskRow, at: Instant, named: Sequence[Named]) -> None:
    """The next instant that is passing, and whose balances may be others from then on."""
    task.at = at
    task.scopes, task.every = _rows(named)
    if len(task.scopes) > NAMED_MOST:
        # All seats of their contracts; those whom the instant does not move have nothing to say.
        of = {(one.contract_id, one.credit_type) for one in task.scopes if one.seat_id is not None}
        task.scopes = [one for one in task.scopes if one.seat_id is None]
        task.every += [
            EveryRow(contract_id, None, credit_type, at)
            for contract_id, credit_type in sorted(of)
            if contract_id is not None
        ]


def named(row: EveryRow) -> EverySeat:
    return EverySeat(
        contract_id=row.contract_id, subscription_id=row.subscription_id, credit_type=row.credit_type, since=row.since
    )


def _rows(named: Sequence[Named]) -> tuple[list[ScopeRow], list[EveryRow]]:
    scopes = [scope_row(one.scope) for one in named if isinstance(one, Changed)]
    every = [
        EveryRow(one.contract_id, one.subscription_id, one.credit_type, one.since)
        for one in named
        if isinstance(one, EverySeat)
    ]
    return scopes, every

"""The engine and the naive model, side by side on one history: every outcome, every answer.

`duel` raises `Differ` with what was asked, what each said, and the facts so far, so that a failing seed can be read.
"""

import random
from collections import Counter
from typing import Any

from ledger.answers import Entry
from ledger.facts import AnyFact
from ledger.instants import HOUR, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refused, Repeated, Scope, Waiting
from tests.ledger.histories import HISTORY
from tests.ledger.memory import MemoryRows
from tests.ledger.model import Model


class Differ(AssertionError):
    """The engine and the model disagree."""


def gist(outcome: Outcome) -> Any:
    """What must agree of an outcome: results and codes."""
    match outcome:
        case Folded():
            return ("folded", plain(_without_names(outcome.result)))
        case Refused():
            return ("refused", outcome.refusal.code)
        case Waiting():
            return ("waiting", outcome.code)
        case Repeated():
            return ("repeated", gist(outcome.first), outcome.differs)


def _without_names(result: dict[str, Any]) -> dict[str, Any]:
    """Who came and left is compared where the whole is: an edit names only those that it looked at."""
    return {
        key: {field: value for field, value in each.items() if field not in ("added", "removed")}
        if isinstance(each, dict)
        else each
        for key, each in result.items()
    }


def plain(value: Any) -> Any:
    """Order and tuples aside."""
    if isinstance(value, dict):
        return {
            key: sorted((plain(item) for item in each), key=repr) if key == "paid" else plain(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def duel(history: list[tuple[AnyFact, Instant]], rng: random.Random, *, questions: float = 0.3) -> None:
    """Folds a history in both, in batches cut at random, rows through bytes, and asks both the same questions."""
    rows = MemoryRows()
    ledger, model = Ledger(rows, **HISTORY), Model(**HISTORY)
    said: list[tuple[AnyFact, Instant]] = []
    clock = None
    for i, (fact, arrived_at) in enumerate(history):
        said.append((fact, arrived_at))
        if clock is None or arrived_at > clock:
            clock = arrived_at
            _same(
                "what waited in vain",
                [(one.id, gist(what)) for one, what in ledger.advance(clock)],
                [(one.id, gist(what)) for one, what in model.advance(clock)],
                said,
            )
        mine, theirs = gist(ledger.fold(fact, arrived_at)), gist(model.fold(fact, arrived_at))
        _same(f"outcome of {fact}", mine, theirs, said)
        _same(
            f"settled by {fact}",
            [(one.id, gist(what)) for one, what in ledger.settled()],
            [(one.id, gist(what)) for one, what in model.settled()],
            said,
        )
        if rng.random() < 0.4:
            ledger.flush()
        if rng.random() < questions / 3 or i == len(history) - 1:
            ask(ledger, model, said, rng)


def ask(ledger: Ledger, model: Model, said: list[tuple[AnyFact, Instant]], rng: random.Random) -> None:
    """Every question, at a few instants: those of the facts, next to them, and between."""
    instants = sorted({fact.time for fact, _ in said} | {arrived for _, arrived in said})
    for customer_id in sorted({fact.customer_id for fact, _ in said}):
        picked = rng.sample(instants, min(3, len(instants)))
        for at in [*picked, rng.choice(instants) + rng.choice([-1, 1, HOUR, 30 * 24 * HOUR])]:
            _same(
                f"balances of {customer_id} at {at}",
                _balances(ledger.balances(customer_id, at)),
                _balances(model.balances(customer_id, at)),
                said,
            )
            for contract_id in ledger.contracts(customer_id):
                mine, theirs = ledger.counts(customer_id, contract_id, at), model.counts(customer_id, contract_id, at)
                _same(f"counts of {contract_id} at {at}", mine, theirs, said)
                for one in mine:
                    _same(
                        f"holders of {one.subscription_id} at {at}",
                        ledger.holders(customer_id, contract_id, one.subscription_id, at),
                        model.holders(customer_id, contract_id, one.subscription_id, at),
                        said,
                    )
        until = rng.choice(instants)
        lines = _entries(model.entries(customer_id, until))
        _same(f"entries until {until}", _entries(ledger.entries(customer_id, until)), lines, said)
        if rng.random() < 0.2:
            limit = rng.choice((1, 2, 7))
            paged = in_pages(ledger, customer_id, until, limit)
            _same(f"entries until {until}, {limit} a page", _entries(paged), lines, said)
        _same(f"charges until {until}", ledger.charges(customer_id, until), model.charges(customer_id, until), said)


def in_pages(ledger: Ledger, customer_id: str, until: Instant, limit: int, scope: Scope | None = None) -> list[Entry]:
    """An account, or one scope of it, as who asks for page after page gets it."""
    told: list[Entry] = []
    page = ledger.entries(customer_id, until, scope=scope, limit=limit)
    while page:
        assert len(page) <= limit
        told += page
        page = ledger.entries(customer_id, until, scope=scope, behind=told[-1], limit=limit)
    return told


def _balances(rows: list[Any]) -> list[Any]:
    return [_balance(one) for one in rows if one.balance or one.granted or one.overage]


def _balance(one: Any) -> Any:
    return (
        one.scope,
        one.balance,
        one.granted,
        one.overage,
        tuple(
            (g.grant_id, g.slice, g.balance, g.granted, g.priority, g.effective_at, g.expires_at) for g in one.grants
        ),
    )


def _passed_through(lines: list[Any]) -> list[Any]:
    """A seat that handed on at once what it was handed: whether both lines are told is left open."""

    def what(line: Any) -> Any:
        sign = 1 if line.type == "moved_in" else -1
        # Of debts, `moves` counts those that came and those that went each for itself.
        grant = (line.grant_id, line.slice, line.origin, line.moves) if line.grant_id is not None else ()
        return line.time, line.scope, grant, sign * line.amount, sign * line.beside

    brought = Counter(what(line) for line in lines if line.type == "moved_in")
    taken = Counter(what(line) for line in lines if line.type == "moved_out")
    through = {"moved_in": brought & taken, "moved_out": brought & taken}
    kept = []
    for line in lines:
        if line.type in through and through[line.type][what(line)]:
            through[line.type][what(line)] -= 1
        else:
            kept.append(line)
    return kept


def _entries(lines: list[Any]) -> list[Any]:
    lines = _passed_through(lines)
    return sorted(
        repr(
            (
                line.time,
                line.type,
                line.amount,
                line.beside,
                line.scope,
                line.grant_id,
                None if line.type == "lapsed" else line.slice,
                line.origin,
                line.moves,
                line.cause_id if line.type not in ("granted", "debt_paid") else "",
            )
        )
        for line in lines
    )


def _same(what: str, mine: Any, theirs: Any, said: list[tuple[AnyFact, Instant]]) -> None:
    if mine == theirs:
        return
    if isinstance(mine, list) and isinstance(theirs, list):
        only_mine = [one for i, one in enumerate(mine) if mine[: i + 1].count(one) > theirs.count(one)]
        only_theirs = [one for i, one in enumerate(theirs) if theirs[: i + 1].count(one) > mine.count(one)]
        detail = (
            "engine only:\n  "
            + "\n  ".join(map(repr, only_mine))
            + "\nmodel only:\n  "
            + "\n  ".join(map(repr, only_theirs))
        )
    else:
        detail = f"engine: {mine!r}\nmodel:  {theirs!r}"
    facts = "\n".join(f"  {arrived}: {fact!r}" for fact, arrived in said)
    raise Differ(f"{what}\n{detail}\nafter {len(said)} facts:\n{facts}")

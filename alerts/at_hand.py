"""What is at hand of a partition: who is concerned by which rules, and what each of them looks at."""

from collections.abc import Iterator
from typing import NamedTuple

from alerts.curve import Curve
from alerts.rows import (
    AHEAD,
    CLOCK,
    CLOCK_KEY,
    NAMED,
    RULE,
    AheadRow,
    RuleRow,
    ahead_key,
    named_prefix,
    passing_key,
    rule_key,
)
from alerts.rules import Gauge, Subject, gauge_of, subjects_of, watches
from ledger.account_rows import newest_burn
from ledger.amounts import Amount
from ledger.contracts import load_contract
from ledger.grants import CONTRACT as OF_CONTRACT
from ledger.grants import CUSTOMER as OF_CUSTOMER
from ledger.grants import SEAT as OF_SEAT
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.outcome import Scope
from ledger.rows import Book, Breathe, Rows, after, text_of
from wire.rules import USED, Rule, read_rule

#: So many customers, and scopes of theirs, are remembered beside their rows.
CUSTOMERS_MOST, SCOPES_MOST = 50_000, 300_000


class Held(NamedTuple):
    """A rule in force: its version, and since when."""

    rule: Rule
    version: int
    since: Instant


class Mark:
    """A gauge at hand. Burns from `since` on only lower what it shows, and less than `room` of them change nothing."""

    __slots__ = ("counts", "gauge", "held", "room", "since")

    def __init__(self, gauge: Gauge, held: tuple[Held, ...], counts: frozenset[str]) -> None:
        self.gauge = gauge
        self.held = held
        self.counts = counts
        self.room: Amount = 0
        self.since: Instant = FOREVER


class Customer:
    """A customer at hand: the rules that may concern it, and its gauges."""

    __slots__ = ("by_scope", "held", "marks", "newest", "next_at")

    def __init__(self, held: tuple[Held, ...], next_at: Instant, newest: Instant) -> None:
        self.held = held
        self.next_at = next_at
        self.newest = newest
        self.by_scope: dict[Scope, tuple[Mark, ...]] = {}
        self.marks: dict[Gauge, Mark] = {}


class Memory:
    """What is remembered of a partition from batch to batch. It only saves reading rows and asking the ledger."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.scopes = 0
        self.for_all: tuple[Held, ...] | None = None
        #: The rules on a gauge, of which most have the same: by who they are, as they live here.
        self.alike: dict[tuple[int, ...], tuple[Held, ...]] = {}

    def forget(self) -> None:
        """The rows may be others than those that were seen last."""
        self.customers.clear()
        self.scopes = 0
        self.for_all = None
        self.alike.clear()


class AtHand:
    """A partition for one batch."""

    def __init__(self, rows: Rows, memory: Memory, breathe: Breathe) -> None:
        self._rows = rows
        self._breathe = breathe
        self._memory = memory
        self._book = Book(rows, breathe)
        self._curve = Curve(rows, breathe)
        kept = self._book.load(CLOCK, CLOCK_KEY)
        self._clock_before = ORIGIN if kept is None else kept.now
        self._clock = self._clock_before

    def _meet(self, customer_id: str) -> Customer:
        memory = self._memory
        if len(memory.customers) >= CUSTOMERS_MOST or memory.scopes >= SCOPES_MOST:
            memory.forget()
        if memory.for_all is None:
            memory.for_all = tuple(self._named(None))
        held = memory.for_all + tuple(self._named(customer_id))
        ahead = self._book.load(AHEAD, ahead_key(customer_id)) if held else None
        # Which of its burns is the newest, is known once one of its gauges was looked at.
        who = Customer(held, FOREVER if ahead is None else ahead.next_at, FOREVER)
        memory.customers[customer_id] = who
        return who

    def _named(self, customer_id: str | None) -> Iterator[Held]:
        prefix = named_prefix(customer_id)
        for key in self._book.keys(NAMED, prefix, after(prefix)):
            row = self._book.load(RULE, rule_key(text_of(key[len(prefix) :])))
            if row is not None and row.body:
                yield Held(rule_of(row), row.version, row.since)

    def _marks(self, who: Customer, scope: Scope) -> tuple[Mark, ...]:
        marks = who.by_scope.get(scope)
        if marks is None:
            gauges: dict[Gauge, None] = {}
            for held in who.held:
                subject = subjects_of(held.rule, scope) if held.rule.metric not in USED else None
                if subject is not None:
                    gauges[gauge_of(held.rule, subject)] = None
            marks = who.by_scope[scope] = tuple(self._mark(who, gauge) for gauge in gauges)
            self._memory.scopes += 1
        return marks

    def _mark(self, who: Customer, gauge: Gauge) -> Mark:
        mark = who.marks.get(gauge)
        if mark is None:
            mark = who.marks[gauge] = Mark(gauge, self._held_on(gauge), _counts(gauge))
        return mark

    def _held_on(self, gauge: Gauge) -> tuple[Held, ...]:
        """The rules in force that look at a gauge."""
        customer_id = gauge.subject.customer_id
        who = self._memory.customers.get(customer_id) or self._meet(customer_id)
        found = tuple(
            one for one in who.held if watches(one.rule, gauge.subject) and gauge_of(one.rule, gauge.subject) == gauge
        )
        return self._memory.alike.setdefault(tuple(map(id, found)), found)

    def _held(self, rule_id: str) -> Held | None:
        row = self._book.load(RULE, rule_key(rule_id))
        return None if row is None or not row.body else Held(rule_of(row), row.version, row.since)

    def _now(self, customer_id: str) -> Instant:
        who = self._curve.who(customer_id)
        return self._clock if who is None else max(self._clock, newest_burn(self._book, who))

    def _put_ahead(self, customer_id: str, who: Customer, next_at: Instant) -> None:
        row = self._book.load(AHEAD, ahead_key(customer_id))
        before = FOREVER if row is None else row.next_at
        if before != next_at:
            if before != FOREVER:
                self._book.drop(AHEAD, passing_key(before, customer_id))
            if next_at != FOREVER:
                self._book.save(AHEAD, passing_key(next_at, customer_id), AheadRow(next_at))
            self._book.save(AHEAD, ahead_key(customer_id), AheadRow(next_at))
        who.next_at = next_at

    def _ledger(self) -> Book:
        """The ledger's rows, read anew: nothing of them is ever written here."""
        return Book(self._rows, self._breathe)

    def _subscriptions(self, customer_id: str) -> Iterator[Subject]:
        who = self._curve.who(customer_id)
        book = self._ledger()
        for brief in [] if who is None else who.contracts:
            assert who is not None
            for row in load_contract(book, who.number, brief.number).subscriptions:
                yield Subject(
                    customer_id=customer_id, contract_id=brief.contract_id, subscription_id=row.subscription_id
                )


def rule_of(row: RuleRow) -> Rule:
    rule = read_rule(None, row.body.encode())
    assert isinstance(rule, Rule), rule
    return rule


def _counts(gauge: Gauge) -> frozenset[str]:
    """Whose grants a gauge adds up, in the words of a burn's result."""
    seats = {OF_SEAT} if gauge.scope == "seat" or gauge.include_seats else set()
    match gauge.scope:
        case "pool":
            return frozenset({OF_CUSTOMER if gauge.subject.contract_id is None else OF_CONTRACT})
        case "contract":
            return frozenset({OF_CONTRACT, *seats})
        case "customer":
            return frozenset({OF_CONTRACT, OF_CUSTOMER, *seats})
        case _:
            return frozenset(seats)

"""What is done in steps: a rule is applied to all that exists, a version of one taken away, all seats of a contract looked at."""

from collections.abc import Generator, Iterator
from itertools import dropwhile, islice

import msgspec

from alerts.at_hand import Mark, Memory, rule_of
from alerts.looking import Looking, Touch
from alerts.rows import (
    DUE,
    STATE,
    WORK,
    WORK_PREFIX,
    RuleRow,
    SubjectRow,
    WorkRow,
    due_key,
    states_prefix,
    subject_row,
)
from alerts.rules import Subject, gauge_of, seat_of, watches
from alerts.state import Message, Watched, spoken
from ledger import history
from ledger.contracts import CUSTOMER, customer_key
from ledger.instants import FOREVER, ORIGIN, Span
from ledger.outcome import EverySeat, Scope
from ledger.rows import Breathe, Rows, after, text_key, text_of
from wire.outputs import Alert
from wire.rules import USED, Rule


class Steps(Looking):
    """A partition where much is done a little at a time: so many subjects of each kind in a batch."""

    def __init__(self, rows: Rows, memory: Memory, breathe: Breathe, lateness: Span, step: int) -> None:
        super().__init__(rows, memory, breathe, lateness)
        self._steps = step

    def is_behind(self) -> bool:
        """Whether there is something left to be done in steps: another batch, an empty one too, goes on with it."""
        return any(True for _ in self._book.keys(WORK, WORK_PREFIX, after(WORK_PREFIX)))

    def _works(self) -> list[tuple[bytes, WorkRow]]:
        works = list(self._book.scan(WORK, WORK_PREFIX, after(WORK_PREFIX)))
        for _, work in works:
            if work.contract_id is not None:
                place = work.customer_id, work.contract_id, work.credit_type
                self._every[place] = min(work.since, self._every.get(place, FOREVER))
            elif work.ends is None and work.rule_id is not None:
                self._applying.add(work.rule_id)
        return works

    def _work(self, works: list[tuple[bytes, WorkRow]]) -> Iterator[Alert]:
        """A step of what is done in steps, so much of each kind that none waits for another."""
        left = {key[:3]: self._steps for key, _ in works}
        for key, work in works:
            share = left[key[:3]]
            if share <= 0:
                continue
            if work.ends is not None:
                done = yield from self._take_away(key, work.ends, share)
            elif work.rule_id is not None:
                done = yield from self._apply(key, work, work.rule_id, share)
            else:
                done = yield from self._look_at_seats(key, work, share)
            left[key[:3]] -= done

    def _take_away(self, key: bytes, ended: RuleRow, share: int) -> Generator[Alert, None, int]:
        """The alarms of a rule, or of a version of it, that is no more."""
        rule = rule_of(ended)
        prefix = states_prefix(rule.rule_id, ended.version)
        rows = list(islice(self._book.scan_lazily(STATE, prefix, after(prefix)), share))
        for state_at, row in rows:
            watched = Watched(rule, ended.version, ended.since, row.subject.subject())
            for level in row.levels:
                said, _, _ = spoken(watched, level, row.at)
                if said and said[-1].ended is None and not said[-1].silent:
                    message = Message(said[-1].alert_id, level.level, "archived", said[-1].began)
                    yield self._alert(watched, message, ("alert-rule", rule.rule_id))
            if row.due_at != FOREVER:
                self._book.drop(DUE, due_key(row.due_at, state_at))
            self._book.drop(STATE, state_at)
        if len(rows) < share:
            self._book.drop(WORK, key)
        return len(rows)

    def _apply(self, key: bytes, work: WorkRow, rule_id: str, share: int) -> Generator[Alert, None, int]:
        """A rule to what exists: customer by customer, seat by seat."""
        held = self._held(rule_id)
        assert held is not None, "a rule that is no more is no longer applied"
        left = share
        for customer_id in self._customers(held.rule, work.customer_id):
            behind = work.behind.subject() if work.behind is not None and customer_id == work.customer_id else None
            if behind is None:
                who = self._memory.customers.get(customer_id) or self._meet(customer_id)
                self._put_ahead(customer_id, who, self._curve.next_due(customer_id, self._now(customer_id)))
            for subject in self._subjects(held.rule, customer_id, behind):
                mark = Mark(gauge_of(held.rule, subject), (held,), frozenset())
                yield from self._look_at(Touch(mark, held.since, ORIGIN, ("alert-rule", rule_id)))
                left -= 1
                if left <= 0:
                    step = WorkRow(rule_id=rule_id, customer_id=customer_id, behind=subject_row(subject))
                    self._book.save(WORK, key, step)
                    return share
        self._book.drop(WORK, key)
        return share - left

    def _customers(self, rule: Rule, since: str) -> Iterator[str]:
        """Whom a rule concerns, by id, from one on."""
        book = self._ledger()
        if rule.customer_id is not None:
            if book.load(CUSTOMER, customer_key(rule.customer_id)) is not None:
                yield rule.customer_id
            return
        for key in book.keys(CUSTOMER, b"C" + text_key(since) if since else b"C", b"D"):
            yield text_of(key[1:])

    def _subjects(self, rule: Rule, customer_id: str, behind: Subject | None) -> Iterator[Subject]:
        """The subjects of a customer that a rule judges, in one order, those behind one of them."""
        found: Iterator[Subject]
        if rule.metric in USED:
            found = self._subscriptions(customer_id)
        elif rule.scope == "seat":
            found = self._seats(rule, customer_id, behind)
        elif rule.scope == "customer":
            found = iter([Subject(customer_id=customer_id)])
        else:
            who = self._curve.who(customer_id)
            ids = [] if who is None else [brief.contract_id for brief in who.contracts]
            found = (Subject(customer_id=customer_id, contract_id=each) for each in (None, *ids))
        if behind is not None and rule.scope != "seat":
            found = islice(dropwhile(lambda subject: subject != behind, found), 1, None)
        return (subject for subject in found if watches(rule, subject))

    def _seats(self, rule: Rule, customer_id: str, behind: Subject | None) -> Iterator[Subject]:
        who = self._curve.who(customer_id)
        begun = behind is None
        for brief in [] if who is None else who.contracts:
            last = None
            if behind is not None and brief.contract_id == behind.contract_id:
                begun = True
                last = Scope(
                    customer_id=customer_id, contract_id=brief.contract_id, seat_id=behind.seat_id,
                    seat_group_key=behind.seat_group_key, credit_type=rule.credit_type,
                )  # fmt: skip
            if begun:
                every = EverySeat(contract_id=brief.contract_id, credit_type=rule.credit_type, since=ORIGIN)
                yield from map(seat_of, history.scopes(self._ledger(), customer_id, every, last))

    def _look_at_seats(self, key: bytes, work: WorkRow, share: int) -> Generator[Alert, None, int]:
        """All seats of a contract, or of a subscription of it."""
        assert work.contract_id is not None
        every = EverySeat(
            contract_id=work.contract_id,
            subscription_id=work.subscription_id,
            credit_type=work.credit_type,
            since=work.since,
        )
        who = self._memory.customers.get(work.customer_id) or self._meet(work.customer_id)
        behind = None if work.behind is None else _scope_of(work.behind, work.credit_type)
        scopes = list(islice(history.scopes(self._ledger(), work.customer_id, every, behind), share))
        for scope in scopes:
            for mark in self._marks(who, scope):
                if mark.gauge.scope == "seat":
                    yield from self._look_at(Touch(mark, work.since, work.late_before, work.cause))
        if len(scopes) < share:
            self._book.drop(WORK, key)
        else:
            self._book.save(WORK, key, msgspec.structs.replace(work, behind=subject_row(seat_of(scopes[-1]))))
        return len(scopes)


def _scope_of(row: SubjectRow, credit_type: str) -> Scope:
    return Scope(
        customer_id=row.customer_id, contract_id=row.contract_id, seat_id=row.seat_id, seat_group_key=row.seat_group_key,
        credit_type=credit_type,
    )  # fmt: skip

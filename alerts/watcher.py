"""The watch: told what each fact changed, it says after a batch which alerts that makes.

While a batch is folded, `Watcher.note` takes off each burn what may still be burned before any line is near (`Mark.room`),
and notes whatever else a fact touched. `Watcher.close` then looks at what was touched, at what became due because time passed,
and, a few at a time, at what a new rule is applied to. A look begins at the first instant that changed and follows the value
up to now (alerts/state.py), so that it does not matter how the facts were cut into batches.

Now is the later of the clock and just after a customer's newest burn, as with the wire's default question.
"""

from collections.abc import Iterator

from alerts.at_hand import Customer, Mark, Memory, rule_of
from alerts.curve import Curve
from alerts.rows import (
    AHEAD,
    CLOCK,
    CLOCK_KEY,
    DUE,
    NAMED,
    RULE,
    WORK,
    ClockRow,
    NoRow,
    RuleRow,
    WorkRow,
    ahead_key,
    applying_key,
    due_until,
    ending_key,
    named_key,
    passing_until,
    rule_key,
    state_key,
)
from alerts.rules import Subject, gauge_of
from alerts.steps import Steps
from ledger import history, instants
from ledger.facts import AnyFact, CreditBurn, topic
from ledger.instants import DAY, FOREVER, Instant, Span
from ledger.outcome import Changed, EverySeat, Folded, Scope
from ledger.rows import Breathe, Rows, instant_of, nobody_waits, text_of
from wire.outputs import Alert
from wire.rules import Archived, Rule, same_question, write_rule

__all__ = ["STEP", "Memory", "Watcher"]

#: So many instants at which something happens by itself to a customer are looked at one by one.
INSTANTS = 24
#: So many subjects are looked at in one batch beyond those that its facts touched.
STEP = 1_000


class Watcher(Steps):
    """The watch over one batch of one partition. `lateness`: how far back a fact may reach (L16)."""

    def __init__(
        self,
        rows: Rows,
        memory: Memory,
        breathe: Breathe = nobody_waits,
        *,
        lateness: Span = 34 * DAY,
        step: int = STEP,
    ) -> None:
        super().__init__(rows, memory, breathe, lateness, step)
        self._agreed: set[str] = set()
        self._passed: set[str] = set()

    # --- while the batch is folded -----------------------------------------------------------------------------------

    def rule(self, said: Rule | Archived, at: Instant) -> None:
        """A rule was made, changed or archived, at an instant of the clock."""
        key = rule_key(said.rule_id)
        row = self._book.load(RULE, key)
        old = None if row is None or not row.body else rule_of(row)
        version = 1 if row is None else row.version + 1
        if isinstance(said, Archived):
            if row is not None and old is not None:
                self._end(row, old)
                self._book.save(RULE, key, RuleRow(row.version, row.since, ""))
            return
        body = write_rule(said).decode()
        if row is not None and old is not None:
            if same_question(old, said):
                self._book.save(RULE, key, RuleRow(row.version, row.since, body))
                self._forget(said)
                return
            self._end(row, old)
        self._book.save(RULE, key, RuleRow(version, at, body))
        self._book.save(NAMED, named_key(said.customer_id, said.rule_id), NoRow())
        self._book.save(WORK, applying_key(said.rule_id), WorkRow(rule_id=said.rule_id, since=at))
        self._forget(said)

    def _end(self, row: RuleRow, rule: Rule) -> None:
        """A version of a rule is no more; what it said in alarm is taken away in steps."""
        self._book.drop(NAMED, named_key(rule.customer_id, rule.rule_id))
        self._book.drop(WORK, applying_key(rule.rule_id))
        ending = WorkRow(rule_id=rule.rule_id, ends=RuleRow(row.version, row.since, row.body))
        self._book.save(WORK, ending_key(rule.rule_id, row.version), ending)
        self._forget(rule)

    def _forget(self, rule: Rule) -> None:
        """Whom a rule concerns has other rules now."""
        memory = self._memory
        if rule.customer_id is None:
            memory.forget()
        else:
            memory.customers.pop(rule.customer_id, None)
        # What was touched knows its rules as they were.
        for gauge, touch in list(self._touched.items()):
            if rule.customer_id in (None, gauge.subject.customer_id):
                touch.mark = Mark(gauge, self._held_on(gauge), touch.mark.counts)

    def note(self, fact: AnyFact, outcome: Folded) -> None:
        """A fact was folded."""
        customer_id = fact.customer_id
        who = self._memory.customers.get(customer_id) or self._meet(customer_id)
        if not who.held:
            return
        if type(fact) is not CreditBurn:
            self._note_other(who, fact, outcome)
            return
        time, amount = fact.time, fact.amount
        if time >= who.next_at:
            self._passed.add(customer_id)
        # Of a burn after all others, what it paid is what there is less; any other may have moved some that came after it.
        paid = None
        if time > who.newest:
            who.newest = time
            paid = outcome.result["paid"]
        for changed in outcome.changed:
            if type(changed) is not Changed:
                self._note_every(who, fact, changed)
                continue
            scope = changed.scope
            marks = who.by_scope.get(scope)
            if marks is None:
                marks = self._marks(who, scope)
            for mark in marks:
                if changed.since >= mark.since:
                    if paid is None:
                        mark.room -= amount
                    else:
                        for row in paid:
                            if row[3] in mark.counts:
                                mark.room -= row[2]
                    if mark.room > 0:
                        continue
                self._touch(mark, changed.since, self._late_before, ("credit-burn", fact.id))

    def _note_other(self, who: Customer, fact: AnyFact, outcome: Folded) -> None:
        self._agreed.add(fact.customer_id)
        cause = topic(fact), fact.id
        for changed in outcome.changed:
            if isinstance(changed, EverySeat):
                self._note_every(who, fact, changed)
            else:
                for mark in self._marks(who, changed.scope):
                    self._touch(mark, changed.since, self._late_before, cause)
        for of in outcome.seats_changed:
            subject = Subject(
                customer_id=fact.customer_id, contract_id=of.contract_id, subscription_id=of.subscription_id
            )
            self._touch_seats(who, subject, of.since, cause)

    def _note_every(self, who: Customer, fact: AnyFact, changed: Changed | EverySeat) -> None:
        cause = topic(fact), fact.id
        if isinstance(changed, Changed):
            for mark in self._marks(who, changed.scope):
                self._touch(mark, changed.since, self._late_before, cause)
        else:
            self._every_seat(fact.customer_id, who, changed, changed.since, self._late_before, cause)

    # --- at the end of the batch -------------------------------------------------------------------------------------

    def close(self, clock: Instant) -> Iterator[Alert]:
        """What is to be said, in order for each customer. All facts are in the rows by now."""
        clock = max(clock, self._clock_before)
        self._clock = clock
        self._curve = Curve(self._rows, self._breathe)
        self._pass(clock)
        self._touch_due(clock)
        works = self._works()
        alerts = [*self._look(), *self._work(works)]
        # One order, however they were come upon; what a rule has to say of a subject stays in its own.
        yield from sorted(alerts, key=_order)
        if clock != self._clock_before:
            self._book.save(CLOCK, CLOCK_KEY, ClockRow(clock))
        self._book.close()

    def _pass(self, clock: Instant) -> None:
        """Touches whatever started, ended, recurred, was reset or scheduled since."""
        passed = [text_of(key[10:]) for key in self._book.keys(AHEAD, b"An", passing_until(clock))]
        for customer_id in sorted({*passed, *self._passed, *self._agreed}):
            who = self._memory.customers.get(customer_id) or self._meet(customer_id)
            if who.held:
                self._pass_one(customer_id, who)

    def _pass_one(self, customer_id: str, who: Customer) -> None:
        row = self._book.load(AHEAD, ahead_key(customer_id))
        at = FOREVER if row is None else row.next_at
        now = self._now(customer_id)
        for _ in range(INSTANTS):
            if at > now:
                break
            why = "time", instants.text(at)
            for one in history.whose_due(self._ledger(), customer_id, at):
                if isinstance(one, EverySeat):
                    self._every_seat(customer_id, who, one, at, self._late_before, why)
                else:
                    for mark in self._marks(who, one.scope):
                        self._touch(mark, at, self._late_before, why)
            for subject in self._subscriptions(customer_id):
                self._touch_seats(who, subject, at, why)
            at = self._curve.next_due(customer_id, at)
        if at <= now:
            # Time has leapt: a look follows the value through all that is left, whosever it is.
            self._touch_all(customer_id, who, at)
            at = self._curve.next_due(customer_id, now)
        if row is None or customer_id in self._agreed:
            at = self._curve.next_due(customer_id, now)
        self._put_ahead(customer_id, who, at)

    def _touch_all(self, customer_id: str, who: Customer, since: Instant) -> None:
        """All that a customer has may be another from an instant on."""
        why = "time", instants.text(since)
        known = self._curve.who(customer_id)
        assert known is not None, "something is due to it"
        contract_ids = [brief.contract_id for brief in known.contracts]
        for credit_type in known.credit_types:
            for contract_id in (None, *contract_ids):
                pool = Scope(customer_id=customer_id, contract_id=contract_id, credit_type=credit_type)
                for mark in self._marks(who, pool):
                    self._touch(mark, since, self._late_before, why)
            for contract_id in contract_ids:
                seats = EverySeat(contract_id=contract_id, credit_type=credit_type, since=since)
                self._every_seat(customer_id, who, seats, since, self._late_before, why)
        for subject in self._subscriptions(customer_id):
            self._touch_seats(who, subject, since, why)

    def _touch_due(self, clock: Instant) -> None:
        """Touches whatever fell as time passed, and what was held back for long enough."""
        for key, row in self._book.scan(DUE, b"Ad", due_until(clock)):
            at, subject = instant_of(key[2:10]), row.subject.subject()
            held = self._held(row.rule_id)
            if held is None or state_key(row.rule_id, held.version, subject) != key[10:]:
                self._book.drop(DUE, key)  # of a version that is being taken away
                continue
            who = self._memory.customers.get(subject.customer_id) or self._meet(subject.customer_id)
            mark = self._mark(who, gauge_of(held.rule, subject))
            self._touch(mark, at, self._late_before, ("time", instants.text(at)))


def _order(alert: Alert) -> tuple[bool, Instant, str, str, str, str, str, str]:
    """What is taken back, then what happened, by instant."""
    return (
        alert.state != "retracted", alert.time, alert.customer_id, alert.contract_id or "", alert.subscription_id or "",
        alert.seat_group_key, alert.seat_id or "", alert.rule_id,
    )  # fmt: skip

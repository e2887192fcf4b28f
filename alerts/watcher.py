"""The watch: told what each fact changed, it says after a batch which alerts that makes.

While a batch is folded, `Watcher.note` takes off each burn what may still be burned before any line is near (`Mark.room`),
and notes whatever else a fact touched. `Watcher.close` then looks at what was touched, at what became due because time passed,
and, a few at a time, at what a new rule is applied to. A look begins at the first instant that changed and follows the value
up to now (alerts/state.py), so that it does not matter how the facts were cut into batches.

Now is the later of the clock and just after a customer's newest burn, as with the wire's default question.
"""

from collections.abc import Generator, Iterator
from itertools import dropwhile, islice
from typing import NamedTuple

import msgspec

from alerts.curve import Curve, Look
from alerts.rows import (
    AHEAD,
    CLOCK,
    CLOCK_KEY,
    DUE,
    NAMED,
    RULE,
    STATE,
    WORK,
    WORK_PREFIX,
    AheadRow,
    ClockRow,
    DueRow,
    NoRow,
    RuleRow,
    StateRow,
    SubjectRow,
    WorkRow,
    ahead_key,
    applying_key,
    due_key,
    due_until,
    ending_key,
    named_key,
    named_prefix,
    passing_key,
    passing_until,
    rule_key,
    seats_key,
    state_key,
    states_prefix,
    subject_row,
)
from alerts.rules import Gauge, Subject, gauge_of, measure, room, seat_of, subjects_of, watches
from alerts.state import Level, Message, Point, Watched, follow, in_order, news, shortened, spoken
from ledger import history, instants
from ledger.amounts import Amount
from ledger.contracts import CUSTOMER, customer_key, load_contract
from ledger.facts import AnyFact, CreditBurn, topic
from ledger.grants import CONTRACT as OF_CONTRACT
from ledger.grants import CUSTOMER as OF_CUSTOMER
from ledger.grants import SEAT as OF_SEAT
from ledger.instants import DAY, FOREVER, MINUTE, ORIGIN, Instant, Span
from ledger.outcome import Changed, EverySeat, Folded, Scope
from ledger.rows import Book, Breathe, Rows, after, instant_of, nobody_waits, text_key, text_of
from wire.outputs import Alert
from wire.rules import USED, Archived, Rule, read_rule, same_question, write_rule

#: What lies further back than this, when it comes to be known, is late.
LATE: Span = MINUTE
#: So many subjects are looked at in one batch beyond those that its facts touched.
STEP = 1_000
#: So many customers, and scopes of theirs, are remembered beside their rows.
CUSTOMERS_MOST, SCOPES_MOST = 50_000, 300_000
#: Nothing that is burned takes a value to a line.
_ENDLESS: Amount = 1 << 200


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

    def forget(self) -> None:
        """The rows may be others than those that were seen last."""
        self.customers.clear()
        self.scopes = 0
        self.for_all = None


class _Touch:
    """A gauge is to be looked at from `since` on."""

    __slots__ = ("cause", "late_before", "mark", "since")

    def __init__(self, mark: Mark, since: Instant, late_before: Instant, cause: tuple[str, str]) -> None:
        self.mark = mark
        self.since = since
        self.late_before = late_before
        self.cause = cause


class Watcher:
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
        self._rows = rows
        self._breathe = breathe
        self._memory = memory
        self._book = Book(rows, breathe)
        self._lateness = lateness
        self._steps = step
        kept = self._book.load(CLOCK, CLOCK_KEY)
        self._clock_before = ORIGIN if kept is None else kept.now
        self._late_before = self._clock_before - LATE
        self._touched: dict[Gauge, _Touch] = {}
        self._agreed: set[str] = set()
        self._passed: set[str] = set()
        self._curve = Curve(rows, breathe)
        #: What is not done yet: the rules that are being applied, and since when all seats are to be looked at.
        self._applying: set[str] = set()
        self._every: dict[tuple[str, str, str], Instant] = {}

    # --- while the batch is folded -----------------------------------------------------------------------------------

    def rule(self, said: Rule | Archived, at: Instant) -> None:
        """A rule was made, changed or archived, at an instant of the clock."""
        key = rule_key(said.rule_id)
        row = self._book.load(RULE, key)
        old = None if row is None or not row.body else _rule_of(row)
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

    def _touch(self, mark: Mark, since: Instant, late_before: Instant, cause: tuple[str, str]) -> None:
        touch = self._touched.get(mark.gauge)
        if touch is None:
            self._touched[mark.gauge] = _Touch(mark, since, late_before, cause)
        elif since < touch.since:
            touch.since, touch.cause = since, cause
            touch.late_before = max(touch.late_before, late_before)

    def _touch_seats(self, who: Customer, subject: Subject, since: Instant, cause: tuple[str, str]) -> None:
        """A subscription may have other counts."""
        mark = self._mark(who, Gauge(scope="subscription", subject=subject, credit_type=None))
        if mark.held:
            self._touch(mark, since, self._late_before, cause)

    def _every_seat(
        self,
        customer_id: str,
        who: Customer,
        every: EverySeat,
        since: Instant,
        late_before: Instant,
        cause: tuple[str, str],
    ) -> None:
        """All seats of a contract or subscription may have another balance."""
        one = Scope(customer_id=customer_id, contract_id=every.contract_id, seat_id="", credit_type=every.credit_type)
        for held in who.held:
            subject = subjects_of(held.rule, one) if held.rule.include_seats else None
            if subject is not None:
                self._touch(self._mark(who, gauge_of(held.rule, subject)), since, late_before, cause)
        if any(_watches_seats(held.rule, every) for held in who.held):
            key = seats_key(customer_id, every.contract_id, every.subscription_id, every.credit_type)
            row = self._book.load(WORK, key)
            if row is not None:
                since, late_before = min(since, row.since), max(late_before, row.late_before)
            work = WorkRow(
                customer_id=customer_id, contract_id=every.contract_id, subscription_id=every.subscription_id,
                credit_type=every.credit_type, since=since, late_before=late_before, cause=cause,
            )  # fmt: skip
            self._book.save(WORK, key, work)

    # --- who is concerned --------------------------------------------------------------------------------------------

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
                yield Held(_rule_of(row), row.version, row.since)

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
        return tuple(
            one for one in who.held if watches(one.rule, gauge.subject) and gauge_of(one.rule, gauge.subject) == gauge
        )

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
        # Stable: what one subject has to say stays in its order.
        yield from sorted(alerts, key=lambda alert: (alert.state != "retracted", alert.time))
        if clock != self._clock_before:
            self._book.save(CLOCK, CLOCK_KEY, ClockRow(clock))
        self._book.close()

    def is_behind(self) -> bool:
        """Whether there is something left to be done in steps: another batch, an empty one too, goes on with it."""
        return any(True for _ in self._book.keys(WORK, WORK_PREFIX, after(WORK_PREFIX)))

    def _now(self, customer_id: str) -> Instant:
        who = self._curve.who(customer_id)
        return self._clock if who is None else max(self._clock, who.folded_until)

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
        while at <= now:
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
        if row is None or customer_id in self._agreed:
            at = self._curve.next_due(customer_id, now)
        self._put_ahead(customer_id, who, at)

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

    # --- looks -------------------------------------------------------------------------------------------------------

    def _look(self) -> Iterator[Alert]:
        """At all that was touched."""
        touched = sorted(self._touched.items(), key=lambda each: _place(each[0]))
        self._touched = {}
        for _, touch in touched:
            yield from self._look_at(touch)

    def _look_at(self, touch: _Touch) -> Iterator[Alert]:
        mark, since = touch.mark, touch.since
        gauge = mark.gauge
        now = self._now(gauge.subject.customer_id)
        held = [one for one in mark.held if one.since <= now]
        if since > now or not held:
            return
        since = max(self._begins(gauge, held, since), min(one.since for one in held))
        lines = set().union(*(_lines(one.rule) for one in held))
        stops = {one.since for one in held if one.since > since}
        looks = self._curve.looks(gauge, since, now, stops, lines)
        turned = since
        for one in held:
            turned = max(turned, (yield from self._judge(one, gauge, looks, since, now, touch)))
        self._mark_anew(mark, looks, turned, now)

    def _begins(self, gauge: Gauge, held: list[Held], since: Instant) -> Instant:
        """From where on a gauge is to be followed: what was to be done with it in steps is done with this look."""
        begins = [since, *(one.since for one in held if one.rule.rule_id in self._applying)]
        subject = gauge.subject
        if gauge.scope == "seat" and gauge.credit_type is not None:
            begins.append(self._every.get((subject.customer_id, subject.contract_id or "", gauge.credit_type), FOREVER))
        return min(begins)

    def _mark_anew(self, mark: Mark, looks: list[Look], turned: Instant, now: Instant) -> None:
        """From here on burns alone change what the gauge shows, and no rule sees that before so much was burned."""
        gauge, last = mark.gauge, looks[-1]
        if gauge.window or gauge.by_day:
            # It changes by itself as well, so that a burn in its past may change more than what it shows last.
            mark.since = max(now, last.at) + 1
        else:
            opened = max((look.at for look in looks if look.opens), default=min(mark.since, looks[0].at))
            mark.since = max(turned, opened)
        rooms = [room(one.rule, last.reading) for one in mark.held]
        mark.room = min((each for each in rooms if each is not None), default=_ENDLESS)
        who, row = self._memory.customers.get(gauge.subject.customer_id), self._curve.who(gauge.subject.customer_id)
        if who is not None and row is not None:
            who.newest = row.folded_until

    def _judge(
        self, held: Held, gauge: Gauge, looks: list[Look], since: Instant, now: Instant, touch: _Touch
    ) -> Generator[Alert, None, Instant]:
        """What one rule makes of what a gauge showed."""
        rule, subject = held.rule, gauge.subject
        key = state_key(rule.rule_id, held.version, subject)
        row = self._book.load(STATE, key)
        watched = Watched(rule, held.version, held.since, subject)
        before = [Level(level) for level in rule.levels] if row is None else row.levels
        since = max(since, held.since)
        points = [
            Point(look.at, measure(rule, look.reading, look.at), look.blame) for look in looks if look.at >= since
        ]
        levels = [follow(watched, level, since, points) for level in before]
        due_at = self._curve.due_after(gauge, looks[-1], now, _lines(rule))
        # Where something reached far back, all that had been looked at by then is its past.
        late_before = touch.late_before + (LATE + 1 if touch.since < touch.late_before else 0)
        of_levels: list[list[Message]] = []
        for old, new in zip(before, levels, strict=True):
            was, _, _ = spoken(watched, old, now if row is None else row.at)
            said, held_until, _ = spoken(watched, new, now)
            due_at = min(due_at, held_until)
            of_levels.append(list(news(watched, was, said, old.turns, late_before)))
        messages = in_order(watched, of_levels)
        had_due = FOREVER if row is None else row.due_at
        if messages or levels != before or due_at != had_due:
            kept = [shortened(watched, level, now - self._lateness) for level in levels]
            self._keep(key, rule, row, StateRow(subject_row(subject), kept, now, due_at))
        for message in messages:
            yield self._alert(watched, message, touch.cause)
        return max((level.turns[-1].at + 1 for level in levels if level.turns), default=ORIGIN)

    def _keep(self, key: bytes, rule: Rule, row: StateRow | None, new: StateRow) -> None:
        """Writes a state, unless it is what is taken for granted where there is none; and when to look again."""
        had_due = FOREVER if row is None else row.due_at
        if had_due != new.due_at:
            if had_due != FOREVER:
                self._book.drop(DUE, due_key(had_due, key))
            if new.due_at != FOREVER:
                self._book.save(DUE, due_key(new.due_at, key), DueRow(rule.rule_id, new.subject))
        if new.due_at != FOREVER or any(level.turns for level in new.levels):
            self._book.save(STATE, key, new)
        elif row is not None:
            self._book.drop(STATE, key)

    def _alert(self, watched: Watched, message: Message, cause: tuple[str, str]) -> Alert:
        rule, subject, turn = watched.rule, watched.subject, message.turn
        counts = self._curve.counts(subject, turn.at) if rule.metric in USED else None
        if message.state in ("in_alarm", "resolved"):
            cause = turn.cause_type, turn.cause_id
        return Alert(
            alert_id=message.alert_id,
            rule_id=rule.rule_id,
            name=rule.name,
            state=message.state,
            late=message.late,
            customer_id=subject.customer_id,
            contract_id=subject.contract_id,
            subscription_id=subject.subscription_id,
            feature_code=None if counts is None else counts.feature_code,
            quantity=None if counts is None else counts.total,
            included=None if counts is None else counts.included,
            seat_id=subject.seat_id,
            seat_group_key=subject.seat_group_key,
            metric=rule.metric,
            level=message.level,
            value=turn.value,
            credit_type=None if rule.metric in USED else rule.credit_type,
            time=self._clock if message.state == "archived" else turn.at,
            cause_type=cause[0],
            cause_id=cause[1],
            webhook=None if rule.webhook is None else msgspec.json.encode(rule.webhook),
        )

    # --- what comes by the clock, and what is done in steps ----------------------------------------------------------

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

    def _held(self, rule_id: str) -> Held | None:
        row = self._book.load(RULE, rule_key(rule_id))
        return None if row is None or not row.body else Held(_rule_of(row), row.version, row.since)

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
        rule = _rule_of(ended)
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
                yield from self._look_at(_Touch(mark, held.since, ORIGIN, ("alert-rule", rule_id)))
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
                    yield from self._look_at(_Touch(mark, work.since, work.late_before, work.cause))
        if len(scopes) < share:
            self._book.drop(WORK, key)
        else:
            self._book.save(WORK, key, msgspec.structs.replace(work, behind=subject_row(seat_of(scopes[-1]))))
        return len(scopes)


def _rule_of(row: RuleRow) -> Rule:
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


def _watches_seats(rule: Rule, every: EverySeat) -> bool:
    return (
        rule.scope == "seat" and rule.credit_type == every.credit_type and rule.contract_id in (None, every.contract_id)
    )


def _is_among(gauge: Gauge, work: WorkRow) -> bool:
    """Whether a seat may be one of those that are to be looked at."""
    subject = gauge.subject
    return (subject.customer_id, subject.contract_id, gauge.credit_type) == (
        work.customer_id, work.contract_id, work.credit_type
    )  # fmt: skip


def _lines(rule: Rule) -> set[Amount]:
    """Where a value that falls may come to stand elsewhere."""
    return {line for level in rule.levels for line in (level, level + rule.margin)}


def _place(gauge: Gauge) -> tuple[str, ...]:
    """One order for all gauges."""
    subject = gauge.subject
    return (
        subject.customer_id, subject.contract_id or "", subject.subscription_id or "", subject.seat_group_key,
        subject.seat_id or "", gauge.scope, repr(gauge),
    )  # fmt: skip


def _scope_of(row: SubjectRow, credit_type: str) -> Scope:
    return Scope(
        customer_id=row.customer_id, contract_id=row.contract_id, seat_id=row.seat_id, seat_group_key=row.seat_group_key,
        credit_type=credit_type,
    )  # fmt: skip

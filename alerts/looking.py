"""Looks at what was touched: how it stood over event time, what each rule makes of that, and what is to be said."""

from collections.abc import Generator, Iterator

import msgspec

from alerts.at_hand import AtHand, Customer, Held, Mark, Memory
from alerts.curve import Look
from alerts.rows import (
    DUE,
    STATE,
    WORK,
    DueRow,
    StateRow,
    WorkRow,
    due_key,
    seats_key,
    state_key,
    subject_row,
)
from alerts.rules import Gauge, Subject, Zone, gauge_of, measure, room, subjects_of
from alerts.state import Level, Message, Point, Watched, follow, in_order, news, shortened, spoken
from ledger.account_rows import newest_burn
from ledger.amounts import Amount
from ledger.instants import FOREVER, MINUTE, ORIGIN, Instant, Span
from ledger.outcome import EverySeat, Scope
from ledger.rows import Breathe, Rows
from wire.outputs import Alert
from wire.rules import USED, Rule

#: What lies further back than this, when it comes to be known, is late.
LATE: Span = MINUTE
#: Nothing that is burned takes a value to a line.
_ENDLESS: Amount = 1 << 200


class Touch:
    """A gauge is to be looked at from `since` on."""

    __slots__ = ("cause", "late_before", "mark", "since")

    def __init__(self, mark: Mark, since: Instant, late_before: Instant, cause: tuple[str, str]) -> None:
        self.mark = mark
        self.since = since
        self.late_before = late_before
        self.cause = cause


class Looking(AtHand):
    """A partition whose subjects are looked at."""

    def __init__(self, rows: Rows, memory: Memory, breathe: Breathe, lateness: Span) -> None:
        super().__init__(rows, memory, breathe)
        self._lateness = lateness
        self._late_before = self._clock_before - LATE
        self._touched: dict[Gauge, Touch] = {}
        #: What is not done yet: the rules that are being applied, and since when all seats are to be looked at.
        self._applying: set[str] = set()
        self._every: dict[tuple[str, str, str], Instant] = {}

    def _touch(self, mark: Mark, since: Instant, late_before: Instant, cause: tuple[str, str]) -> None:
        touch = self._touched.get(mark.gauge)
        if touch is None:
            self._touched[mark.gauge] = Touch(mark, since, late_before, cause)
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
            # Who burns before its turn comes is looked at then.
            for mark in who.marks.values():
                seat = mark.gauge.subject
                if mark.gauge.scope == "seat" and seat.contract_id == every.contract_id:
                    mark.since = FOREVER

    def _look(self) -> Iterator[Alert]:
        """At all that was touched."""
        touched = sorted(self._touched.items(), key=lambda each: _place(each[0]))
        self._touched = {}
        for _, touch in touched:
            yield from self._look_at(touch)

    def _look_at(self, touch: Touch) -> Iterator[Alert]:
        mark, since = touch.mark, touch.since
        gauge = mark.gauge
        now = self._now(gauge.subject.customer_id)
        held = [one for one in mark.held if one.since <= now]
        if gauge.by_day:
            # What ends one day is counted down to from now on.
            since = min(since, now)
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
            who.newest = newest_burn(self._book, row)

    def _judge(
        self, held: Held, gauge: Gauge, looks: list[Look], since: Instant, now: Instant, touch: Touch
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
        due_at = FOREVER
        if gauge.by_day or any(level.turns and level.turns[-1].zone != Zone.CLEAR for level in levels):
            # A window that moves only ever lets go of burns: where all is clear, nothing comes of that.
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
            time=self._now(subject.customer_id) if message.state == "archived" else turn.at,
            cause_type=cause[0],
            cause_id=cause[1],
            webhook=None if rule.webhook is None else msgspec.json.encode(rule.webhook),
        )


def _watches_seats(rule: Rule, every: EverySeat) -> bool:
    return (
        rule.scope == "seat" and rule.credit_type == every.credit_type and rule.contract_id in (None, every.contract_id)
    )


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

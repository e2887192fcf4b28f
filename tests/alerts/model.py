"""The naive model of the watch, from L18: every value at every instant at which anything happened, from the whole account.

It keeps nothing and skips nothing. It asks the ledger plain questions only: its lines, and its balance at an instant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from alerts.rules import Subject
from ledger import instants, seats
from ledger.answers import Balance, Entry
from ledger.contracts import CUSTOMER, ContractRow, SubscriptionRow, customer_key, load_contract
from ledger.instants import DAY, FOREVER, HOUR, Instant
from ledger.ledger import Ledger
from ledger.outcome import Scope
from wire.rules import Rule

Cause = tuple[str, str]


@dataclass
class Crossing:
    """`armed` by what (None: the rule's creation), when it came and by what, and when it ended."""

    armed: tuple[Instant, str, str] | None
    at: Instant
    cause: Cause
    ended_at: Instant | None = None


@dataclass
class Value:
    """What a rule compares, at an instant; who is to blame if it came to be lower, or higher."""

    at: Instant
    value: Fraction | None
    fell: Cause
    rose: Cause


class Model:
    """What is true of every subject of a rule that began at `since`, as far as the ledger knows now."""

    def __init__(self, ledger: Ledger, customer_id: str, now: Instant) -> None:
        self.ledger = ledger
        self.customer_id = customer_id
        self.now = now
        self.lines = [one for one in ledger.entries(customer_id, now + 1) if one.time <= now]
        self._held: dict[Instant, list[Balance]] = {}
        self._following: dict[Instant, Instant | None] = {}
        self._instants = sorted({one.time for one in self.lines})

    def crossings(self, rule: Rule, since: Instant, subject: Subject, level: int) -> list[Crossing]:
        """The crossings of one level."""
        found: list[Crossing] = []
        armed: tuple[Instant, str, str] | None = None
        below = False  # the re-arm line was not passed since
        for one in self.values(rule, since, subject):
            if one.at < since:
                continue
            is_open = bool(found) and found[-1].ended_at is None
            crossed, cleared = _compare(rule, level, one.value)
            if cleared:
                if is_open:
                    found[-1].ended_at = one.at
                if below:
                    armed = (one.at, *(one.rose if _left(rule) else one.fell))
                below = False
            else:
                below = True
                if crossed and not is_open:
                    cause = one.fell if _left(rule) else one.rose
                    if cause[0] == "time" and one.at == since:
                        cause = "alert-rule", rule.rule_id
                    found.append(Crossing(armed, one.at, cause))
        return found

    def subjects(self, rule: Rule) -> list[Subject]:
        """All whom a rule of this customer or of everyone judges."""
        found = [subject for subject in self._all(rule) if rule.contract_id in (None, subject.contract_id)]
        if rule.customer_id not in (None, self.customer_id):
            return []
        return [
            subject
            for subject in found
            if rule.seat_id in (None, subject.seat_id)
            and (subject.seat_id is None or rule.seat_group_key in (None, subject.seat_group_key))
        ]

    def _all(self, rule: Rule) -> Iterator[Subject]:
        contracts = self.ledger.contracts(self.customer_id)
        match rule.scope:
            case "customer":
                yield Subject(customer_id=self.customer_id)
            case "pool":
                for contract_id in (None, *contracts):
                    yield Subject(customer_id=self.customer_id, contract_id=contract_id)
            case "contract":
                for contract_id in contracts:
                    yield Subject(customer_id=self.customer_id, contract_id=contract_id)
            case "seat":
                scopes = {one.scope for one in self.lines if one.scope.seat_id is not None}
                for contract_id, key, seat_id in sorted(
                    {(scope.contract_id, scope.seat_group_key, scope.seat_id) for scope in scopes}
                ):
                    yield Subject(
                        customer_id=self.customer_id, contract_id=contract_id, seat_id=seat_id, seat_group_key=key
                    )
            case "subscription":
                for contract_id in contracts:
                    for counts in self.ledger.counts(self.customer_id, contract_id, self.now):
                        yield Subject(
                            customer_id=self.customer_id,
                            contract_id=contract_id,
                            subscription_id=counts.subscription_id,
                        )

    # --- values ------------------------------------------------------------------------------------------------------

    def values(self, rule: Rule, since: Instant, subject: Subject) -> Iterator[Value]:
        if rule.scope == "subscription":
            yield from self._seat_values(rule, since, subject)
            return
        lines = [
            one for one in self.lines if one.scope.credit_type == rule.credit_type and _counts(rule, subject, one.scope)
        ]
        lines_of = (one.time for one in lines)
        at_all = sorted({since, *self._by_itself(rule, since, lines), *self._dues(since), *lines_of})
        given = any(self._at(rule, subject, one.time)[1] > 0 for one in lines if one.time < since)
        for at in at_all:
            if at > self.now:
                continue
            before = [one for one in lines if one.time == at and one.type not in ("burned", "overage")]
            burns = [one for one in lines if one.time == at and one.type == "burned"]
            left, granted = self._at(rule, subject, at)
            given = given or granted > 0 or any(one.amount > 0 for one in lines if one.time <= at)
            burned = -sum(one.amount for one in lines if one.type == "burned" and at - rule.window <= one.time < at)
            time = "time", instants.text(at)
            yield Value(
                at, self._value(rule, left, granted, given, burned, self._ends(rule, subject, at, []), at),
                _first(before, -1) or time, _first(before, 1) or time,
            )  # fmt: skip
            done: list[Entry] = []
            for (_, cause_id), group in groupby(burns, key=lambda one: (one.time, one.cause_id)):
                for one in group:
                    left += one.amount
                    burned -= one.amount
                    done.append(one)
                cause = "credit-burn", cause_id
                ends = self._ends(rule, subject, at, done)
                yield Value(at, self._value(rule, left, granted, given, burned, ends, at), cause, cause)

    def _value(
        self, rule: Rule, left: int, granted: int, given: bool, burned: int, ends: Instant, at: Instant
    ) -> Fraction | None:
        """In billionths."""
        if not given:
            return None
        match rule.metric:
            case "balance":
                return Fraction(left)
            case "balance_percent":
                return Fraction(left * 100 * 10**9, granted) if granted else Fraction(0)
            case "days_to_expiry":
                return None if ends == FOREVER else Fraction((ends - at) * 10**9, DAY)
            case _:
                if not left:
                    return Fraction(0)
                return None if not burned else Fraction(left, burned) * Fraction(rule.window, HOUR) * 10**9

    def _dues(self, since: Instant) -> Iterator[Instant]:
        at = self._next_due(since)
        while at is not None and at <= self.now:
            yield at
            at = self._next_due(at)

    def _by_itself(self, rule: Rule, since: Instant, lines: list[Entry]) -> Iterator[Instant]:
        """The instants at which a value may be another by the passing of time."""
        if rule.metric == "time_to_empty":
            step = rule.window // 24
            yield from range(-(-since // step) * step, self.now + 1, step)
        if rule.metric == "days_to_expiry":
            for end in self._all_ends(rule):
                for level in rule.levels:
                    for line in (level, level + rule.margin):
                        at = end - line * DAY // 10**9
                        if since < at <= self.now:
                            yield at

    def _next_due(self, after: Instant) -> Instant | None:
        """Each grant's end is looked for over the same instants, an hour apart where something recurs by the hour."""
        if after not in self._following:
            self._following[after] = self.ledger.next_due(self.customer_id, after)
        return self._following[after]

    def _balances(self, at: Instant) -> list[Balance]:
        held = self._held.get(at)
        if held is None:
            held = self._held[at] = self.ledger.balances(self.customer_id, at)
        return held

    def _at(self, rule: Rule, subject: Subject, at: Instant) -> tuple[int, int]:
        held = [one for one in self._balances(at) if one.scope.credit_type == rule.credit_type]
        held = [one for one in held if _counts(rule, subject, one.scope)]
        return sum(one.balance for one in held), sum(one.granted for one in held)

    def _grants(self, rule: Rule, subject: Subject, at: Instant) -> list[tuple[Scope, str, int | None, int, Instant]]:
        return [
            (one.scope, grant.grant_id, grant.slice, grant.balance, grant.expires_at)
            for one in self._balances(at)
            if one.scope.credit_type == rule.credit_type and _counts(rule, subject, one.scope)
            for grant in one.grants
        ]

    def _ends(self, rule: Rule, subject: Subject, at: Instant, burns: list[Entry]) -> Instant:
        """When the next grant with something left ends. Grants of one name at one seat are taken for one."""
        if rule.metric != "days_to_expiry":
            return FOREVER
        taken: dict[tuple[Scope, str | None, int | None], int] = {}
        for one in burns:
            key = one.scope, one.grant_id, one.slice
            taken[key] = taken.get(key, 0) - one.amount
        return min(
            (
                self._end_of(rule, subject, (scope, grant_id, slice), at, ends)
                for scope, grant_id, slice, left, ends in self._grants(rule, subject, at)
                if left > taken.get((scope, grant_id, slice), 0)
            ),
            default=FOREVER,
        )

    def _end_of(
        self, rule: Rule, subject: Subject, name: tuple[Scope, str, int | None], at: Instant, ends: Instant
    ) -> Instant:
        """When a grant is no more: when it expires, or its contract ends, or it is voided, or carried away, before."""
        for _ in range(400):
            due = self._next_due(at)
            if due is None or due >= ends:
                return ends
            at = due
            if not any(each[:3] == name for each in self._grants(rule, subject, at)):
                return at
        return ends

    def _all_ends(self, rule: Rule) -> set[Instant]:
        """Whatever ends, ends where it expires, or where something happens by itself."""
        expire = {
            grant.expires_at
            for at in self._instants
            for one in self._balances(at)
            if one.scope.credit_type == rule.credit_type
            for grant in one.grants
            if grant.expires_at < FOREVER
        }
        at, dues = self._instants[0] - 1 if self._instants else self.now, set[Instant]()
        most = self.now + max(level + rule.margin for level in rule.levels) * DAY // 10**9
        while (due := self._next_due(at)) is not None and due <= most:
            dues.add(at := due)
        return expire | dues

    def _seat_values(self, rule: Rule, since: Instant, subject: Subject) -> Iterator[Value]:
        book = self.ledger.book
        who = book.load(CUSTOMER, customer_key(self.customer_id))
        assert who is not None and subject.contract_id is not None
        brief = who.brief(subject.contract_id)
        assert brief is not None
        contract = load_contract(book, who.number, brief.number)
        row = contract.subscription(subject.subscription_id, None, 0)
        assert row is not None
        born, _ = contract.life(row)
        # Every instant at which anything of the customer may happen by itself is one at which counts may change.
        at: Instant | None = since
        while at is not None and at <= self.now:
            counts = next(
                one
                for one in self.ledger.counts(self.customer_id, subject.contract_id, at)
                if one.subscription_id == subject.subscription_id
            )
            included = row.at(at).included_seats
            value = None
            if included is not None and born <= at:
                if rule.metric == "seats_over":
                    value = Fraction((counts.total - included) * 10**9)
                elif included:
                    value = Fraction(counts.total * 100 * 10**9, included)
                else:
                    value = Fraction(100 * 10**9 if counts.total else 0)
            cause = self._cause_of_seats(who.number, contract, row, at)
            yield Value(at, value, cause, cause)
            at = self._next_due(at)

    def _cause_of_seats(self, number: int, contract: ContractRow, row: SubscriptionRow, at: Instant) -> Cause:
        """The edit of an instant within a subscription's life; else the end, update or beginning of it; else time."""
        born, dies = contract.life(row)
        step = seats.steps(self.ledger.book, number, row, at, at)[0]
        if step.at == at and born < at < dies:
            return "seat-change", step.edit_id
        ends = [end.id for end in (*contract.ends, *row.ends) if end.ending_before == dies == at]
        updates = [update.id for update in row.updates if update.starting_at == at]
        said = ends or updates or ([row.id] if at in (born, dies) else [])
        return ("contract-change", said[-1]) if said else ("time", instants.text(at))


def said(rule: Rule, since: Instant, crossings: list[Crossing], now: Instant) -> list[tuple[Crossing, bool]]:
    """Which crossings are heard of, and whether the last that is heard of each is that it ended (min_interval)."""
    silent = [one for one in crossings[:1] if one.at == since and not rule.evaluate_on_create]
    steps = []
    for one in crossings:
        steps.append((one.at, one, True))
        if one.ended_at is not None:
            steps.append((one.ended_at, one, False))
    heard: list[tuple[Crossing, bool]] = []
    quiet_until: Instant | None = None
    true: tuple[Crossing, bool] | None = None  # the newest truth that may not be said yet

    def say(one: Crossing, opens: bool, at: Instant) -> None:
        nonlocal quiet_until
        is_open = bool(heard) and not heard[-1][1]
        if opens and not is_open:
            heard.append((one, False))
            if one not in silent:
                quiet_until = at + rule.min_interval
        elif not opens and is_open:
            last = heard[-1][0]
            heard[-1] = (last, True)
            if rule.notify_resolved and last not in silent:
                quiet_until = at + rule.min_interval

    for at, one, opens in steps:
        if true is not None and quiet_until is not None and quiet_until < at:
            say(*true, quiet_until)
            true = None
        is_mute = not opens and (not rule.notify_resolved or bool(heard and heard[-1][0] in silent))
        if quiet_until is None or at >= quiet_until or is_mute:
            say(one, opens, at)
            true = None
        else:
            true = one, opens
    if true is not None and quiet_until is not None and quiet_until <= now:
        say(*true, quiet_until)
    return [(one, ended) for one, ended in heard if one not in silent]


def _left(rule: Rule) -> bool:
    return rule.scope != "subscription"


def _compare(rule: Rule, level: int, value: Fraction | None) -> tuple[bool, bool]:
    """Whether a value is at its level, and whether it is beyond the re-arm line."""
    if value is None:
        return False, True
    if _left(rule):
        return value <= level, value > level + rule.margin
    return value >= level, value < level - rule.margin


def _counts(rule: Rule, subject: Subject, scope: Scope) -> bool:
    """Whether a scope's credit is added up."""
    match rule.scope:
        case "seat":
            named = (scope.contract_id, scope.seat_id, scope.seat_group_key)
            return named == (subject.contract_id, subject.seat_id, subject.seat_group_key)
        case "pool":
            return scope.seat_id is None and scope.contract_id == subject.contract_id
        case "contract":
            return scope.contract_id == subject.contract_id and (rule.include_seats or scope.seat_id is None)
        case _:
            return rule.include_seats or scope.seat_id is None


def _first(lines: list[Entry], sign: int) -> Cause | None:
    one = next((one for one in lines if one.amount * sign > 0), lines[0] if lines else None)
    return None if one is None else (one.cause_type, one.cause_id)

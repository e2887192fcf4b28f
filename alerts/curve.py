"""What a gauge showed over event time, as the ledger knows it now: one look at each instant at which it may have changed.

The ledger's balance says what there was at an instant, its entries when that changed, and why. Between what starts, ends or
is set, only burns change anything, and they are taken off one by one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from alerts.rules import Gauge, Reading, Subject
from ledger import history, instants, seats
from ledger.amounts import UNIT, Amount
from ledger.answers import Counts, Entry
from ledger.balances import Account
from ledger.contracts import CUSTOMER, ContractRow, CustomerRow, SubscriptionRow, customer_key, load_contract
from ledger.entries import entries
from ledger.everyone import seats_of
from ledger.grants import ENTITY, GRANT, Credit, Holder, entity_key, grant_key, holder_key
from ledger.instants import DAY, FOREVER, ORIGIN, Instant
from ledger.order import entry_order
from ledger.outcome import Scope
from ledger.rows import Book, Breathe, Rows, Scratch, nobody_waits
from ledger.standing import Standing
from ledger.stretches import SCOPE
from ledger.telling import brought_from

#: A window moves in so many steps.
STEPS = 24

Name = tuple[Scope, str | None, int | None, str | None, int]
_BURNS = ("burned", "overage")


class Why(NamedTuple):
    """One thing is to blame, whichever way the value went."""

    fell: tuple[str, str]
    rose: tuple[str, str]


class Look(NamedTuple):
    at: Instant
    reading: Reading
    blame: "Why | Opening"
    opens: bool = True  # not only burns since the look before


class Opening:
    """All that happened at an instant but its burns: it is asked who is to blame only where that matters."""

    def __init__(self, curve: "Curve", gauge: Gauge, at: Instant, told: list[Entry] | None) -> None:
        self._curve, self._gauge, self._at, self._told = curve, gauge, at, told

    @cached_property
    def _entries(self) -> list[Entry]:
        if self._told is not None:
            return self._told
        return [one for one in self._curve.entries(self._gauge, self._at, self._at) if one.type not in _BURNS]

    @property
    def fell(self) -> tuple[str, str]:
        """The first line that took something; else the first line of all, else time itself."""
        return self._first(-1)

    @property
    def rose(self) -> tuple[str, str]:
        return self._first(1)

    def _first(self, sign: int) -> tuple[str, str]:
        lines = self._entries
        line = next((one for one in lines if one.amount * sign > 0), lines[0] if lines else None)
        return _time(self._at) if line is None else (line.cause_type, line.cause_id)


class _Grant(NamedTuple):
    left: Amount
    end: Instant


class Curve:
    """Asks the ledger for one batch. `rows` hold everything folded."""

    def __init__(self, rows: Rows, breathe: Breathe = nobody_waits) -> None:
        self._rows = rows
        self._breathe = breathe
        self._book = Book(rows, breathe)
        self._accounts: dict[tuple[str, str, Instant], Account] = {}
        self._pools: dict[tuple[str, str, Instant], tuple[Standing, list[Credit]]] = {}
        self._dues: dict[tuple[str, Instant], Instant] = {}

    def who(self, customer_id: str) -> CustomerRow | None:
        return self._book.load(CUSTOMER, customer_key(customer_id))

    def next_due(self, customer_id: str, at: Instant) -> Instant:
        """When anything of a customer happens by itself after an instant."""
        found = self._dues.get((customer_id, at))
        if found is None:
            next_at = history.next_due(self._book, customer_id, at)
            found = self._dues[customer_id, at] = FOREVER if next_at is None else next_at
        return found

    # --- looks -------------------------------------------------------------------------------------------------------

    def looks(
        self, gauge: Gauge, since: Instant, now: Instant, stops: Iterable[Instant] = (), lines: Iterable[Amount] = ()
    ) -> list[Look]:
        """How a gauge stood at `since`, at `stops`, and wherever it may have changed up to `now`. `lines`: where a value that
        falls by the day may be looked at."""
        self._breathe()
        if gauge.scope == "subscription":
            return self._seat_looks(gauge, since, now, stops)
        if not gauge.window and self._stands_still(gauge, since, now):
            return self._standing_still(gauge, since, now, stops, lines)
        told = self.entries(gauge, since - gauge.window, now)
        # What ends empty, or is set to what it has, is no line of the account, but another share of what was given.
        itself = self._by_itself(gauge.subject.customer_id, since, now)
        openings: dict[Instant, list[Entry]] = {at: [] for at in (since, *stops, *itself) if since <= at <= now}
        burns: list[Entry] = []
        for one in told:
            if one.type == "burned":
                burns.append(one)
            elif one.type != "overage" and one.time >= since:
                openings.setdefault(one.time, []).append(one)
        found: list[Look] = []
        at_burn = bisect_left(burns, since, key=lambda one: one.time)
        starts = sorted(openings)
        for start, end in zip(starts, [*starts[1:], now + 1], strict=True):
            grants, given = self._grants(gauge, start)
            reading = self._reading(gauge, grants, given, burns[:at_burn], start)
            opens = bool(openings[start]) or start > since
            found.append(Look(start, reading, Opening(self, gauge, start, openings[start]), opens))
            left = {name: one.left for name, one in grants.items()}
            while at_burn < len(burns) and burns[at_burn].time < end:
                first = burns[at_burn]
                while at_burn < len(burns) and _same_burn(burns[at_burn], first):
                    left[_name(burns[at_burn])] += burns[at_burn].amount
                    at_burn += 1
                grants = {name: _Grant(left[name], one.end) for name, one in grants.items()}
                last = found[-1].reading
                reading = self._reading(gauge, grants, given, burns[:at_burn], first.time, last.granted)
                cause = first.cause_type, first.cause_id
                found.append(Look(first.time, reading, Why(cause, cause), False))
        return self._with_time(gauge, found, burns, now, lines)

    def _by_itself(self, customer_id: str, since: Instant, now: Instant) -> Iterator[Instant]:
        while (since := self.next_due(customer_id, since)) <= now:
            yield since

    def _standing_still(
        self, gauge: Gauge, since: Instant, now: Instant, stops: Iterable[Instant], lines: Iterable[Amount]
    ) -> list[Look]:
        """Nothing happened after `since`."""
        reading = self._reading(gauge, *self._grants(gauge, since), [], since)
        found = [
            Look(at, reading, Opening(self, gauge, at, None if at == since else []), at == since)
            for at in sorted({since, *(stop for stop in stops if since < stop <= now)})
        ]
        return self._with_time(gauge, found, [], now, lines)

    def _stands_still(self, gauge: Gauge, since: Instant, now: Instant) -> bool:
        """Whether it is certain that nothing happened to a gauge after the state of `since`."""
        subject = gauge.subject
        who = self.who(subject.customer_id)
        if who is None or gauge.credit_type not in who.credit_types:
            return True
        if self.next_due(subject.customer_id, since) <= now:
            return False
        account = self._account(who, gauge, since)
        if gauge.scope != "seat":
            return not any(True for _ in account.burns(since, now + 1))
        holder = history.holder_in(who, _scope(gauge))
        row = None if holder is None else account.book.load(SCOPE, account.scope_key(holder_key(who, holder)))
        return row is None or not any(True for _ in account.burns_of(row.number, since, now + 1))

    def _with_time(
        self, gauge: Gauge, looks: list[Look], burns: list[Entry], now: Instant, lines: Iterable[Amount]
    ) -> list[Look]:
        """And where only time made the difference."""
        if not gauge.by_day and not gauge.window:
            return looks
        found: list[Look] = []
        for place, look in enumerate(looks):
            found.append(look)
            end = looks[place + 1].at if place + 1 < len(looks) else now + 1
            for at in self._time_of(gauge, look, end, lines):
                reading = look.reading
                if gauge.window:
                    reading = reading._replace(burned=_burned(burns, at - gauge.window, at))
                found.append(Look(at, reading, Why(_time(at), _time(at)), False))
        return found

    def _time_of(self, gauge: Gauge, look: Look, end: Instant, lines: Iterable[Amount]) -> Iterator[Instant]:
        """The instants after a look, and before `end`, at which its value may come to stand elsewhere by itself."""
        if gauge.by_day and look.reading.ends < FOREVER:
            # The first instant at which no more days are left than the line says.
            at_lines = {look.reading.ends - line * DAY // UNIT for line in lines}
            yield from sorted(at for at in at_lines if look.at < at < end)
        if gauge.window and look.reading.burned:
            step = gauge.window // STEPS
            last = look.at + gauge.window + step  # by then all of it has left the window
            yield from range((look.at // step + 1) * step, min(end, last + 1), step)

    def due_after(self, gauge: Gauge, last: Look, now: Instant, lines: Iterable[Amount]) -> Instant:
        """When a gauge is to be looked at again because time passed, and for no other reason."""
        since = last._replace(at=max(last.at, now))
        return next(self._time_of(gauge, since, FOREVER, lines), FOREVER)

    # --- readings ----------------------------------------------------------------------------------------------------

    def _reading(
        self,
        gauge: Gauge,
        grants: dict[Name, _Grant],
        given: tuple[bool, Amount],
        burns: list[Entry],
        at: Instant,
        granted: Amount | None = None,
    ) -> Reading:
        """`burns`: those that had happened, at least all within the window."""
        ends = min((one.end for one in grants.values() if one.left), default=FOREVER)
        return Reading(
            left=sum(one.left for one in grants.values()),
            granted=given[1] if granted is None else granted,
            given=given[0],
            ends=ends,
            ending=sum(one.left for one in grants.values() if one.end == ends),
            burned=-sum(one.amount for one in _since(burns, at - gauge.window)) if gauge.window else 0,
        )

    def _grants(self, gauge: Gauge, at: Instant) -> tuple[dict[Name, _Grant], tuple[bool, Amount]]:
        """What is left of each active grant of a gauge before the burns of an instant; whether there ever was one, and what
        the active ones were given."""
        who = self.who(gauge.subject.customer_id)
        if who is None or gauge.credit_type not in who.credit_types:
            return {}, (False, 0)
        account = self._account(who, gauge, at)
        who = account.customer
        found: dict[Name, _Grant] = {}
        granted, given = 0, False
        for holder in self._holders(account, gauge):
            scope = None
            standing, credits = self._standing(account, gauge, holder, at)
            carried = account.carried_away(holder, at) if gauge.by_day else FOREVER
            for credit in credits:
                left = standing.left.get(credit.name)
                if left is None or not self._is_meant(account.book, who, gauge, credit.contract, credit.grant_id):
                    continue
                if scope is None:
                    scope = history.scope_of(gauge.subject.customer_id, who, holder, account.credit_type)
                given = given or left.granted > 0
                granted += left.granted
                found[scope, credit.grant_id, credit.slice, *brought_from(credit.origin)] = _Grant(
                    left.amount, min(credit.end, carried)
                )
            given = given or any(
                _gave(account.book, who, credit, at)
                and self._is_meant(account.book, who, gauge, credit.contract, credit.grant_id)
                for credit in account.credits_ever(holder, at)
            )
        return found, (given, granted)

    def _standing(self, account: Account, gauge: Gauge, holder: Holder, at: Instant) -> tuple[Standing, list[Credit]]:
        if holder.seat_id is not None:
            return history.scope_standing(account, holder, at)
        key = gauge.subject.customer_id, account.credit_type, at
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = history.group_standing(account, at)
        standing, credits = found
        return standing, [credit for credit in credits if credit.contract == holder.contract]

    def _account(self, who: CustomerRow, gauge: Gauge, at: Instant) -> Account:
        assert gauge.credit_type is not None
        key = gauge.subject.customer_id, gauge.credit_type, at
        account = self._accounts.get(key)
        if account is None:
            book = Book(Scratch(self._rows), self._breathe)
            mine = book.load(CUSTOMER, customer_key(gauge.subject.customer_id))
            assert mine is not None
            account = self._accounts[key] = history.account_at(book, mine, gauge.credit_type, at)
        return account

    def _holders(self, account: Account, gauge: Gauge) -> Iterator[Holder]:
        """Whose credit a gauge adds up."""
        who, subject = account.customer, gauge.subject
        brief = None if subject.contract_id is None else who.brief(subject.contract_id)
        if subject.contract_id is not None and brief is None:
            return
        match gauge.scope:
            case "seat":
                assert brief is not None
                if subject.seat_group_key in who.seat_group_keys:
                    yield Holder(brief.number, subject.seat_id, subject.seat_group_key)
                return
            case "pool":
                yield Holder(0 if brief is None else brief.number)
                return
            case "contract":
                assert brief is not None
                numbers = [brief.number]
            case _:
                numbers = [each.number for each in who.contracts]
                yield Holder(0)
        for number in numbers:
            yield Holder(number)
            if gauge.include_seats:
                yield from seats_of(account, number)

    def _is_meant(self, book: Book, who: CustomerRow, gauge: Gauge, contract: int, grant_id: str | None) -> bool:
        """Whether a gauge counts a grant of this id."""
        if gauge.kind is None or grant_id is None:
            return True
        entity = book.load(ENTITY, entity_key(who.number, contract, grant_id))
        if entity is None:
            return False
        if entity.holder is None:
            recurring = load_contract(book, who.number, contract).recurring_credit(grant_id)
            kind = None if recurring is None else recurring.given.kind
        else:
            row = book.load(GRANT, grant_key(who.number, entity.holder, entity.expires_at, grant_id))
            kind = None if row is None else row.given.kind
        return (kind or "credit") == gauge.kind

    def entries(self, gauge: Gauge, since: Instant, until: Instant) -> list[Entry]:
        """The lines of all that a gauge adds up, burns of the last instant included."""
        who = self.who(gauge.subject.customer_id)
        if who is None or gauge.credit_type not in who.credit_types:
            return []
        customer_id = gauge.subject.customer_id
        scopes = [
            history.scope_of(customer_id, who, holder, gauge.credit_type or "")
            for holder in self._holders(self._account(who, gauge, since), gauge)
        ]
        found: list[Entry] = []
        if gauge.include_seats:
            within = set(scopes)
            told = entries(self._book, customer_id, until + 1, since=since)
            found = [one for one in told if one.scope in within]
        else:
            for scope in scopes:
                found += entries(self._book, customer_id, until + 1, scope=scope, since=since)
            if len(scopes) > 1:
                found.sort(key=entry_order)
        numbers = {brief.contract_id: brief.number for brief in who.contracts}
        return [
            one
            for one in found
            if one.time <= until
            and self._is_meant(self._book, who, gauge, numbers.get(one.scope.contract_id or "", 0), one.grant_id)
        ]

    # --- seats -------------------------------------------------------------------------------------------------------

    def counts(self, subject: Subject, at: Instant) -> Counts | None:
        """The subscription that an alert is about, at an instant."""
        found = self._subscription(subject)
        return None if found is None else seats.counts(self._book, *found, at)

    def _subscription(self, subject: Subject) -> tuple[int, ContractRow, SubscriptionRow] | None:
        who = self.who(subject.customer_id)
        brief = None if who is None or subject.contract_id is None else who.brief(subject.contract_id)
        if who is None or brief is None:
            return None
        contract = load_contract(self._book, who.number, brief.number)
        row = contract.subscription(subject.subscription_id, None, 0)
        return None if row is None else (who.number, contract, row)

    def _seat_looks(self, gauge: Gauge, since: Instant, now: Instant, stops: Iterable[Instant]) -> list[Look]:
        found = self._subscription(gauge.subject)
        if found is None:
            return [Look(since, Reading(given=False), Why(_time(since), _time(since)))]
        number, contract, row = found
        born, dies = contract.life(row)
        causes: dict[Instant, tuple[str, str]] = {at: ("", "") for at in (since, *stops) if since <= at <= now}
        said = ((born, row.id), (dies, row.id), *((update.starting_at, update.id) for update in row.updates))
        for at, id in said:
            if since <= at <= now:
                causes[at] = "contract-change", id
        for end in (*contract.ends, *row.ends):
            if end.ending_before == dies and since <= dies <= now:
                causes[dies] = "contract-change", end.id
        last = None
        for step in seats.steps(self._book, number, row, since, now + 1):
            last = step
            if since <= step.at <= now and born < step.at < dies:
                causes[step.at] = "seat-change", step.edit_id
        assert last is not None
        looks = []
        for at in sorted(causes):
            used = 0
            if born <= at < dies:
                used = seats.steps(self._book, number, row, at, at)[0].total
            reading = Reading(used=used, included=row.at(at).included_seats, given=born <= at)
            cause = causes[at] if causes[at][0] else _time(at)
            looks.append(Look(at, reading, Why(cause, cause)))
        return looks


def _time(at: Instant) -> tuple[str, str]:
    """Time itself is to blame. A rule may have come before any clock had spoken."""
    return "time", "" if at <= ORIGIN else instants.text(at)


def _scope(gauge: Gauge) -> Scope:
    """The ledger's scope of a seat."""
    subject = gauge.subject
    assert gauge.credit_type is not None
    return Scope(
        customer_id=subject.customer_id,
        contract_id=subject.contract_id,
        seat_id=subject.seat_id,
        seat_group_key=subject.seat_group_key,
        credit_type=gauge.credit_type,
    )


def _gave(book: Book, who: CustomerRow, credit: Credit, at: Instant) -> bool:
    """Whether a credit had given anything by an instant: a slice of nothing gives nothing until it is raised."""
    if not credit.start <= at or credit.start >= credit.end:
        return False
    if credit.granted > 0:
        return True
    later = [time for time, amount, _ in credit.rises if amount > 0]
    later += [each.time for each in credit.adjustments if each.amount > 0]
    if credit.rollover is not None and credit.rollover.min > 0:
        resets = load_contract(book, who.number, credit.contract).resets
        later += [reset.time for reset in resets if reset.time > credit.start]
    return any(credit.start <= time <= at and time < credit.end for time in later)


def _name(one: Entry) -> Name:
    return one.scope, one.grant_id, one.slice, one.origin, one.moves


def _same_burn(one: Entry, other: Entry) -> bool:
    return one.time == other.time and one.cause_id == other.cause_id


def _since(burns: list[Entry], since: Instant) -> list[Entry]:
    return burns[bisect_left(burns, since, key=lambda one: one.time) :]


def _burned(burns: list[Entry], since: Instant, until: Instant) -> Amount:
    """What was burned at or after one instant and before another."""
    return -sum(one.amount for one in _since(burns, since) if one.time < until)

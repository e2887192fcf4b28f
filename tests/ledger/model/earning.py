"""What recurring credits give: their slices, known from the seats alone, before anything is burned (L8, L10)."""

from bisect import bisect_right
from dataclasses import dataclass, field

from ledger.amounts import Amount, share
from ledger.facts import RecurringCredit
from ledger.instants import Instant
from tests.ledger.model import seats
from tests.ledger.model.known import KnownCredit, the_end_that_counts
from tests.ledger.model.seats import Carry, Sight


@dataclass(frozen=True)
class Period:
    """One period of a recurring credit (D10). It earns from `earns_at` until before `earns_until`."""

    slice: int
    starts_at: Instant
    ends_at: Instant
    earns_at: Instant
    earns_until: Instant
    expires_at: Instant
    settings: RecurringCredit


@dataclass
class Slice:
    """What one period gives to one scope: `amount` at `starts_at`, and more for each rise (pooled)."""

    credit: KnownCredit
    period: Period
    seat_id: str | None
    seat_group_key: str
    starts_at: Instant
    amount: Amount
    rises: list[tuple[Instant, Amount]] = field(default_factory=list)


@dataclass
class Earned:
    """The slices of one recurring credit, and which of them each seat (None: the pool) was given, and when.

    A carried move gives along what has been given (L11), so that a void or an adjustment finds the slice of a seat
    that "started last" (M8).
    """

    slices: list[Slice] = field(default_factory=list)
    given: dict[str | None, dict[int, tuple[Instant, bool]]] = field(default_factory=dict)

    def started_last(self, seat_id: str | None, at: Instant, *, carried_before: bool) -> int | None:
        """The slice that had started last; with `carried_before` what was carried at that very instant isn't there yet."""
        started = [
            slice
            for slice, (since, carried) in self.given.get(seat_id, {}).items()
            if since < at or (since == at and not (carried and carried_before))
        ]
        return max(started, default=None)


def periods(credit: KnownCredit, until: Instant) -> list[Period]:
    """The periods that earn at or before `until`."""
    definition, end = credit.definition, the_end_that_counts(credit.ends)
    every, anchor = definition.every, definition.anchor
    first = every.index(anchor, definition.starting_at)
    found: list[Period] = []
    while True:
        slice = len(found)
        starts_at, ends_at = every.point(anchor, first + slice), every.point(anchor, first + slice + 1)
        earns_at = max(starts_at, definition.starting_at)
        if earns_at >= end or earns_at > until:
            return found
        settings = credit.settings(starts_at)
        expires_at = min(every.point(anchor, first + slice + settings.duration_periods), end)
        found.append(Period(slice, starts_at, ends_at, earns_at, min(ends_at, end), expires_at, settings))


def earned(credit: KnownCredit, until: Instant, seen: list[Sight], carries: list[tuple[Instant, Carry]]) -> Earned:
    """All slices that start at or before `until`. `seen` is the history of the credit's subscription, `carries` are
    all carried moves of the contract in order."""
    if credit.definition.allocation == "individual":
        return _individual(credit, until, seen, carries)
    return _pooled(credit, until, seen)


def _pooled(credit: KnownCredit, until: Instant, seen: list[Sight]) -> Earned:
    """`amount x quantity` at the start, `amount x rise` for each rise above the highest so far (L10, D12)."""
    result = Earned()
    for period in periods(credit, until):
        linked = credit.subscription is not None
        quantity = seats.at(seen, period.earns_at).total if linked else 1
        slice = Slice(credit, period, None, "seat_id", period.earns_at, 0)
        slice.amount = _share(credit, period, period.earns_at, period.earns_at, quantity)
        highest = quantity
        for sight in seen if linked else []:
            if period.earns_at < sight.at < period.earns_until and sight.at <= until and sight.total > highest:
                rise = sight.total - highest
                slice.rises.append((sight.at, _share(credit, period, period.earns_at, sight.at, rise)))
                highest = sight.total
        result.slices.append(slice)
        starts_at = max(period.earns_at, credit.contract.starting_at)
        if starts_at < min(period.expires_at, credit.contract.ending_before):
            result.given.setdefault(None, {})[period.slice] = (starts_at, False)
    return result


def _individual(credit: KnownCredit, until: Instant, seen: list[Sight], carries: list[tuple[Instant, Carry]]) -> Earned:
    """One slice for each assigned seat and period; who was carried the period's slice earns none (L10, D11, D20)."""
    result = Earned()
    all_periods = periods(credit, until)
    has_earned: dict[int, set[str]] = {period.slice: set() for period in all_periods}
    instants = {period.earns_at for period in all_periods} | {sight.at for sight in seen} | {at for at, _ in carries}
    for at in sorted(instant for instant in instants if instant <= until):
        running = _running(all_periods, at)
        for _, carry in (each for each in carries if each[0] == at):
            _carry_along(result, credit, all_periods, at, carry)
            for period in running:
                if carry.subscription is credit.subscription and carry.from_seat_id in has_earned[period.slice]:
                    has_earned[period.slice].add(carry.to_seat_id)
        for period in running:
            if not period.earns_at <= at < period.earns_until:
                continue
            for seat_id in sorted(seats.at(seen, at).assigned - has_earned[period.slice]):
                has_earned[period.slice].add(seat_id)
                assert credit.subscription is not None
                key = credit.subscription.seat_group_key
                amount = _share(credit, period, at, at, 1)
                result.slices.append(Slice(credit, period, seat_id, key, at, amount))
                result.given.setdefault(seat_id, {})[period.slice] = (at, False)
    return result


def _running(all_periods: list[Period], at: Instant) -> list[Period]:
    """The period that holds the instant, if any does: periods of one credit do not overlap."""
    last = bisect_right(all_periods, at, key=lambda period: period.starts_at)
    return [period for period in all_periods[max(0, last - 1) : last] if at < period.ends_at]


def _carry_along(result: Earned, credit: KnownCredit, all_periods: list[Period], at: Instant, carry: Carry) -> None:
    assert credit.subscription is not None
    if carry.seat_group_key != credit.subscription.seat_group_key:
        return
    expiries = {period.slice: period.expires_at for period in all_periods}
    for slice in list(result.given.get(carry.from_seat_id, {})):
        if at < expiries[slice]:
            result.given.setdefault(carry.to_seat_id, {}).setdefault(slice, (at, True))


def _share(credit: KnownCredit, period: Period, slice_starts_at: Instant, at: Instant, quantity: int) -> Amount:
    """`amount x covered / period` for what is earned at `at`, rounded once (L10)."""
    settings = period.settings
    front, back = period.starts_at, period.ends_at
    if settings.proration in ("first", "first_and_last"):
        front = max(front, settings.starting_at)
    if settings.prorate_increases and at > period.earns_at:
        front = max(front, at)
    if settings.proration in ("last", "first_and_last"):
        # An end that was submitted later only closes the window (L10, D13).
        back = min(back, the_end_that_counts([end for end in credit.ends if end.time <= slice_starts_at]))
    covered, rounding = max(0, back - front), settings.rounding
    return share(
        settings.amount * quantity, covered, period.ends_at - period.starts_at, rounding.method, rounding.decimals
    )

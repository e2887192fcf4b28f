"""What seats cost: charges, and what is paid until the billing period ends (L20, D26)."""

from dataclasses import dataclass, field

from ledger.amounts import share
from ledger.answers import Charge
from ledger.facts import Subscription
from ledger.instants import FOREVER, Instant
from tests.ledger.model import seats
from tests.ledger.model.known import KnownSubscription
from tests.ledger.model.seats import Sight


@dataclass
class Bill:
    """The charges of one subscription up to an instant, and what is paid at it."""

    charges: list[Charge] = field(default_factory=list)
    paid: int = 0
    period_starts: list[Instant] = field(default_factory=list)


def bill(subscription: KnownSubscription, until: Instant, seen: list[Sight]) -> Bill:
    """Walks the life of the subscription: at a period's start what is held is charged, later each rise of `paid`."""
    result = Bill()
    start, end = subscription.life()
    result.period_starts = _period_starts(subscription, until)
    changes = {sight.at for sight in seen} | set(subscription.changes_at()) | set(result.period_starts)
    for at in sorted(instant for instant in changes if start <= instant < end and instant <= until):
        settings = subscription.settings(at)
        held, included = max(seats.at(seen, at).total, settings.minimum_seats), settings.included_seats or 0
        period_from, period_to = _period(settings, at)
        if at in result.period_starts:
            covered = period_to - at if settings.prorate_charges else period_to - period_from
            _charge(
                result, subscription, "period", max(0, held - included), at, at, covered, (at, period_from, period_to)
            )
            result.paid = held
        elif held > result.paid:
            due = _period_end(subscription, at) if settings.charge_increases == "next_period" else at
            covered = period_to - at if settings.prorate_charges else period_to - period_from
            more = max(0, held - included) - max(0, result.paid - included)
            period = max(period_from, start), period_from, period_to
            _charge(result, subscription, "increase", more, due, at, covered, period)
            result.paid = held
    if until < start or (
        until >= end and (end <= start or until >= _period(subscription.settings(end - 1), end - 1)[1])
    ):
        result.paid = 0  # nothing is paid for outside the periods that began within its life (M20)
    return result


def next_period_start(subscription: KnownSubscription, after: Instant) -> Instant | None:
    start, end = subscription.life()
    if start >= end:
        return None
    if after < start:
        return start
    starts = [at for at in _period_starts(subscription, _period(subscription.settings(after), after)[1]) if at > after]
    return min(starts, default=None)


def _period_starts(subscription: KnownSubscription, until: Instant) -> list[Instant]:
    """The start of its life, and every later point of the grid that is in force at that point."""
    start, end = subscription.life()
    starts = {start} if start < end and start <= until else set()
    turns = sorted({start, *(at for at in subscription.changes_at() if start < at < end)})
    for turn, next_turn in zip(turns, [*turns[1:], end], strict=False):
        grid = subscription.settings(turn).billing_period
        n = grid.every.index(grid.anchor, turn)
        while (point := grid.every.point(grid.anchor, n)) < next_turn and point <= until:
            if turn <= point:
                starts.add(point)
            n += 1
    return sorted(starts)


def _period_end(subscription: KnownSubscription, at: Instant) -> Instant:
    """The first point after an instant of the grid that is in force at that point, whether the subscription lives then or not."""
    turns = [at, *sorted(turn for turn in subscription.changes_at() if turn > at)]
    for turn, next_turn in zip(turns, [*turns[1:], FOREVER], strict=True):
        grid = subscription.settings(turn).billing_period
        n = grid.every.index(grid.anchor, turn)
        for point in (grid.every.point(grid.anchor, n), grid.every.point(grid.anchor, n + 1)):
            if at < point and turn <= point < next_turn:
                return point
    raise AssertionError("a grid goes on for ever")


def _period(settings: Subscription, at: Instant) -> tuple[Instant, Instant]:
    grid = settings.billing_period
    n = grid.every.index(grid.anchor, at)
    return grid.every.point(grid.anchor, n), grid.every.point(grid.anchor, n + 1)


def _charge(
    result: Bill,
    subscription: KnownSubscription,
    kind: str,
    number: int,
    time: Instant,
    since: Instant,
    covered: int,
    period: tuple[Instant, Instant, Instant],
) -> None:
    """Price and rounding are those in force when the charge is due."""
    if number <= 0:
        return
    first, period_from, period_to = period
    settings = subscription.settings(time)
    price, rounding, whole = settings.unit_price, settings.rounding, period_to - period_from
    amount = None
    if price is not None:
        amount = share(price.amount * number, covered, whole, rounding.method, rounding.decimals)
    result.charges.append(
        Charge(
            contract_id=subscription.contract.contract_id,
            subscription_id=subscription.definition.subscription_id,
            time=time,
            since=since,
            kind=kind,  # type: ignore[arg-type]
            seats=number,
            covered=covered,
            period=whole,
            period_from=first,
            period_to=period_to,
            unit_price=price,
            amount=amount,
        )
    )

"""What is due for seats, and when (L20, D26). Charges are said; nobody is invoiced here.

A charge's settings are those in force at the instant that it is for: the start of the period, or the rise. With
`next_period` a rise is due when its period ends, also where the subscription has ended by then: ends give nothing back.
"""

from ledger.amounts import share
from ledger.answers import Charge
from ledger.billing import Rise, next_period_start, period_start, rises, whole_period
from ledger.contracts import ContractRow, SubscriptionRow
from ledger.instants import Instant
from ledger.rows import Book


def charges(
    book: Book, customer: int, contract: ContractRow, subscription: SubscriptionRow, from_at: Instant, to_at: Instant
) -> list[Charge]:
    """What falls due in `[from_at, to_at)`, in the order of time; at one instant, of earlier periods first."""
    born, dies = contract.life(subscription)
    if from_at >= to_at or born >= dies:
        return []
    start = _first_period(contract, subscription, from_at)
    due: list[Charge] = []
    while start < min(to_at, dies):
        end = next_period_start(contract, subscription, start)
        for rise in rises(book, customer, contract, subscription, start, min(end, to_at)):
            charge = _charge(contract, subscription, rise, rise.at == start, end)
            if charge is not None and from_at <= charge.time < to_at:
                due.append(charge)
        start = end
    return sorted(due, key=lambda charge: charge.time)


def next_due_after(
    book: Book, customer: int, contract: ContractRow, subscription: SubscriptionRow, at: Instant
) -> Instant | None:
    """When to look again: the first charge after an instant, as known now, or the start of the period after it, whichever
    comes first. None if nothing can fall due any more."""
    born, dies = contract.life(subscription)
    if born >= dies:
        return None
    if at < born:
        return born
    end = next_period_start(contract, subscription, at)
    due = charges(book, customer, contract, subscription, at + 1, end + 1)
    if due:
        return due[0].time
    return end if end < dies else None


def _first_period(contract: ContractRow, subscription: SubscriptionRow, at: Instant) -> Instant:
    """The start of the first period of which something may be due at `at` or later: a rise of the period before may."""
    born, dies = contract.life(subscription)
    if at <= born:
        return born
    start = period_start(contract, subscription, min(at, dies - 1))
    return start if start == born else period_start(contract, subscription, start - 1)


def _charge(
    contract: ContractRow, subscription: SubscriptionRow, rise: Rise, opens: bool, end: Instant
) -> Charge | None:
    settings = subscription.at(rise.at)
    included = settings.included_seats or 0
    seats = max(0, rise.now - included) - (0 if opens else max(0, rise.before - included))
    if seats == 0:
        return None
    period_from, period_to = whole_period(settings.billing_period, rise.at)
    period = period_to - period_from
    covered = period_to - rise.at if settings.prorate_charges else period
    due = rise.at if opens or settings.charge_increases == "now" else end
    # Price and rounding are those in force when the charge is due.
    priced = subscription.at(due)
    price = priced.unit_price
    amount = None
    if price is not None:
        rounding = priced.rounding
        amount = share(price.amount * seats, covered, period, rounding.method, rounding.decimals)
    return Charge(
        contract_id=contract.contract_id,
        subscription_id=subscription.subscription_id,
        time=due,
        since=rise.at,
        kind="period" if opens else "increase",
        seats=seats,
        covered=covered,
        period=period,
        period_from=max(period_from, contract.life(subscription)[0]),
        period_to=period_to,
        unit_price=price,
        amount=amount,
    )

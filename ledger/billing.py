"""Billing periods of a subscription: from when until when they last, and how many seats are paid for in them (L20).

A period begins at the start of the subscription's life and at each point of its grid; where the grid itself is changed,
the new points count from the change on. `paid` rises within a period and never falls: the highest of the total and of
the minimum in force, each at its instant.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.contracts import ContractRow, SubscriptionRow
from ledger.facts import Recurrence
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.rows import Book
from ledger.seat_rows import Keys, step_at, steps_between


class Rise(NamedTuple):
    """`paid` is `now` from `at` on; it was `before`, which is 0 before a period."""

    at: Instant
    before: int
    now: int


def whole_period(settings: Recurrence, at: Instant) -> tuple[Instant, Instant]:
    """The grid period that holds an instant."""
    n = settings.every.index(settings.anchor, at)
    return settings.every.point(settings.anchor, n), settings.every.point(settings.anchor, n + 1)


def period_start(contract: ContractRow, subscription: SubscriptionRow, at: Instant) -> Instant:
    """When the billing period that holds an instant began; the subscription must live then."""
    born, _ = contract.life(subscription)
    until = at
    while until > born:
        changed_at = max((u.starting_at for u in subscription.updates if u.starting_at <= until), default=ORIGIN)
        start, _ = whole_period(subscription.at(until).billing_period, until)
        if start >= changed_at:
            return max(born, start)
        until = changed_at - 1
    return born


def next_period_start(contract: ContractRow, subscription: SubscriptionRow, at: Instant) -> Instant:
    """When the first billing period after an instant begins, whether the subscription lives then or not."""
    born, _ = contract.life(subscription)
    if at < born:
        return born
    since = at
    while True:
        changes = min((u.starting_at for u in subscription.updates if u.starting_at > since), default=FOREVER)
        _, end = whole_period(subscription.at(since).billing_period, since)
        if end < changes or changes == FOREVER:
            return end
        start, _ = whole_period(subscription.at(changes).billing_period, changes)
        if start == changes:
            return changes
        since = changes


def rises(
    book: Book, customer: int, contract: ContractRow, subscription: SubscriptionRow, start: Instant, end: Instant
) -> Iterator[Rise]:
    """How `paid` grew in the period that begins at `start`, before `end`: its beginning first, also at 0."""
    _, dies = contract.life(subscription)
    end = min(end, dies)
    keys = Keys(customer, subscription.number)
    _, step = step_at(book, keys, start)
    total = step.assigned + step.unassigned
    totals = {at: step.assigned + step.unassigned for at, step in steps_between(book, keys, start + 1, end)}
    changes = {u.starting_at for u in subscription.updates if start < u.starting_at < end}
    minimum = subscription.at(start).minimum_seats
    paid = max(total, minimum)
    yield Rise(start, 0, paid)
    for at in sorted(totals.keys() | changes):
        total = totals.get(at, total)
        if at in changes:
            minimum = subscription.at(at).minimum_seats
        now = max(total, minimum)
        if now > paid:
            yield Rise(at, paid, now)
            paid = now

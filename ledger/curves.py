"""A balance over time, point by point: each burn is looked at once, however many points there are."""

from collections.abc import Iterator

from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.answers import Window
from ledger.balances import Account
from ledger.grants import Holder, holder_key, kind_of, parts_of
from ledger.history import (
    Along,
    account_at,
    attributions,
    balance_of,
    burns_of,
    group_as_of,
    group_standing,
    holder_in,
    look,
    nothing,
    of_drawers,
)
from ledger.instants import ORIGIN, Instant
from ledger.outcome import Scope
from ledger.rows import Book
from ledger.stretches import GroupStretch, Shared


def windows(
    book: Book, customer_id: str, scope: Scope, times: list[Instant], since: Instant = ORIGIN
) -> Iterator[tuple[Window, int]]:
    """What a scope has at each of some instants, in order, and what was burned and went over between them, before the first one
    from `since` on; and how many burns and grants were looked at by then."""
    scratch, who = look(book, customer_id)
    if who is None or not times:
        return
    account, holder = account_at(scratch, who, scope.credit_type, times[-1]), holder_in(who, scope)
    if holder is None:
        yield from ((Window(time=at, balance=0, granted=0, burned=0, overage=0), 0) for at in times)
        return
    paid, along, looks = _Paid(account, holder, max(since, who.floor)), Along(), 0
    for at in times:
        burned, overage = paid.until(at)
        shared = None
        if holder.seat_id is None:
            shared = group_standing(account, at, paid.as_of())
            looks += len(shared[1])
        held = balance_of(account, customer_id, holder, at, shared, along) or nothing(scope)
        window = Window(time=at, balance=held.balance, granted=held.granted, burned=burned, overage=overage)
        yield window, looks + paid.looks


class _Paid:
    """What a scope's own grants paid from an instant on, told up to one instant after the other."""

    def __init__(self, account: Account, whose: Holder, since: Instant) -> None:
        self._account = account
        self._whose = whose
        self._key = holder_key(account.customer, whose)
        self._stretch = account.group_at(since)
        #: What each shared grant paid in its stretch so far.
        self._drawn: dict[str, Amount] = {}
        if whose.seat_id is None:
            self._drawn = {one.name: one.drawn for one in group_as_of(account, self._stretch, since).shared}
        #: How many burns were looked at.
        self.looks = 0
        self._coming = self._from(since)
        self._next = next(self._coming, None)

    def until(self, at: Instant) -> tuple[Amount, Amount]:
        """What was paid and what went over before an instant, since this was asked last."""
        burned = overage = 0
        while True:
            while self._next is not None and self._next[0].time < at:
                burn, paid = self._next
                for name, amount in paid:
                    if name:
                        self._drawn[name] = self._drawn.get(name, 0) + amount
                        burned += amount if parts_of(name)[:2] == (kind_of(self._whose), self._whose.contract) else 0
                    elif burn.holder == self._key:
                        overage += amount
                self._next = next(self._coming, None)
            following = self._account.group_after(self._stretch.start)
            if following is None or following.start > at:
                return burned, overage
            self._stretch = following
            self._drawn = {}
            self._coming = self._from(following.start)
            self._next = next(self._coming, None)

    def as_of(self) -> GroupStretch:
        """The stretch of the group that was reached, with what its grants paid until then."""
        shared = [
            Shared(one.name, one.contract, one.left, one.granted, self._drawn.get(one.name, 0), one.rank, one.dry)
            for one in self._stretch.shared
        ]
        return GroupStretch(self._stretch.start, self._stretch.until, shared)

    def _from(self, since: Instant) -> Iterator[tuple[Burn, list[tuple[str, Amount]]]]:
        """Who paid each burn from an instant on, to the end of the stretch."""
        burns = self._counted(since)
        if self._whose.seat_id is None:
            burns = of_drawers(self._account, burns)
        return attributions(self._account, self._stretch, burns)

    def _counted(self, since: Instant) -> Iterator[Burn]:
        following = self._account.group_after(self._stretch.start)
        end = self._account.group.last + 1 if following is None else following.start
        for burn in burns_of(self._account, self._whose, since, end):
            self.looks += 1
            yield burn

"""Who there is: every seat that may ever have had a balance, in one order, a few at a time."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

from ledger import grants
from ledger.balances import Account
from ledger.contracts import ContractRow, SubscriptionRow, load_contract
from ledger.grants import Holder
from ledger.rows import Kind, after, number_key, text_key, text_of
from ledger.seat_rows import MOVES, SEAT, Keys
from ledger.stretches import SCOPE

#: A seat's place among those of its contract: the number of its seat group key, and its id.
Place = tuple[int, str]
#: Before the place of any seat.
FIRST: Place = (-1, "")


def seats_of(
    account: Account, contract: int, subscription: SubscriptionRow | None = None, behind: Place = FIRST
) -> Iterator[Holder]:
    """The seats of a contract: who ever sat there, was given something or burned anything of this account; or those that
    ever sat in one of its subscriptions. Once each, in one order, beginning `behind` one of them. Nothing may be saved
    before the last one is taken."""
    who = account.customer
    if behind[0] >= len(who.seat_group_keys):
        return  # the place of another customer, who has more kinds of seats
    if subscription is not None:
        found = [_sat(account, subscription, behind)]
    else:
        rows = load_contract(account.book, who.number, contract).subscriptions
        found = [_sat(account, row, behind) for row in rows]
        given = b"G" + number_key(who.number) + number_key(contract) + b"\1"
        found.append(_keyed(account, grants.GRANT, given, behind))
        found.append(_keyed(account, SCOPE, account.scope_key(number_key(contract) + b"\1"), behind))
    last = behind
    for place in merge(*found):
        if place != last:
            last = place
            yield Holder(contract, place[1], who.seat_group_keys[place[0]])


def seats_of_group(
    account: Account, contract: int, seat_group_key: str, subscription: SubscriptionRow | None, behind: str
) -> Iterator[str]:
    """The same seats, of one kind, by id."""
    group = account.customer.seat_group_keys.index(seat_group_key)
    for holder in seats_of(account, contract, subscription, (group, behind)):
        if holder.seat_group_key != seat_group_key:
            return
        assert holder.seat_id is not None
        yield holder.seat_id


def movers_of(account: Account, contract: ContractRow, seat_group_key: str, behind: str) -> Iterator[str]:
    """The seats of one kind that anybody ever moved to or from, by id; one of them may come several times."""
    return merge(
        *(
            _moved(account, subscription, after(text_key(behind)))
            for subscription in contract.subscriptions
            if subscription.seat_group_key == seat_group_key
        )
    )


def _sat(account: Account, subscription: SubscriptionRow, behind: Place) -> Iterator[Place]:
    """Every seat that an edit ever assigned, or moved something to."""
    group = account.customer.seat_group_keys.index(subscription.seat_group_key)
    if group < behind[0]:
        return
    keys = Keys(account.customer.number, subscription.number)
    past = after(text_key(behind[1])) if group == behind[0] else b""
    seats = account.book.keys(SEAT, keys.seats + past, after(keys.seats))
    sat = (text_of(key[len(keys.seats) :]) for key in seats)
    for seat_id in merge(sat, _moved(account, subscription, past)):
        yield group, seat_id


def _moved(account: Account, subscription: SubscriptionRow, past: bytes) -> Iterator[str]:
    keys = Keys(account.customer.number, subscription.number)
    for key in account.book.keys(MOVES, keys.moves + past, after(keys.moves)):
        yield text_of(key[len(keys.moves) : -12])


def _keyed(account: Account, kind: Kind[Any], prefix: bytes, behind: Place) -> Iterator[Place]:
    """Of rows whose keys go on with a seat."""
    start = prefix
    if behind[0] >= 0:
        start += behind[0].to_bytes(2, "big") + after(text_key(behind[1]))
    for key in account.book.keys(kind, start, after(prefix)):
        group = len(prefix)
        end = key.index(b"\0\1", group + 2) + 2
        yield int.from_bytes(key[group : group + 2], "big"), text_of(key[group + 2 : end])

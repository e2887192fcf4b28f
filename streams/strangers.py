"""Who burns without ever having had a seat: most likely somebody spelled a seat's id in two ways."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from ledger import seats
from ledger.contracts import CUSTOMER, customer_key, load_contract
from ledger.facts import CreditBurn
from ledger.rows import Book, Rows

#: A customer, a seat group key, a seat.
Seat = tuple[str, str, str]

#: So many seats are remembered to have been assigned at some time; then all are forgotten, and looked for again.
MOST_REMEMBERED: Final = 300_000
#: So many seats of a batch are looked for; the others when they burn again.
MOST_ASKED: Final = 1_000


class Strangers:
    """Counts burns of seats that were never assigned, by any subscription of their customer."""

    def __init__(self) -> None:
        # As numbers, which take a fraction of the room.
        self._seated: set[int] = set()

    def note(self, burned: Counter[Seat], fact: CreditBurn) -> None:
        """A burn is folded; `burned` is the batch's own."""
        if fact.seat_id is not None:
            seat = fact.customer_id, fact.seat_group_key, fact.seat_id
            if hash(seat) not in self._seated and (seat in burned or len(burned) < MOST_ASKED):
                burned[seat] += 1

    def count(self, rows: Rows, burned: Mapping[Seat, int]) -> int:
        """How many of these burns are a stranger's, going by the rows at the end of the batch."""
        book, found = Book(rows), 0
        for seat, burns in burned.items():
            if _was_assigned(book, *seat):
                if len(self._seated) >= MOST_REMEMBERED:
                    self._seated.clear()
                self._seated.add(hash(seat))
            else:
                found += burns
        return found


def _was_assigned(book: Book, customer_id: str, seat_group_key: str, seat_id: str) -> bool:
    who = book.load(CUSTOMER, customer_key(customer_id))
    return who is not None and any(
        subscription.seat_group_key == seat_group_key
        and seats.seat(book, who.number, subscription, seat_id) is not None
        for brief in who.contracts
        for subscription in load_contract(book, who.number, brief.number).subscriptions
    )

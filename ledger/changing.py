"""What a fact made different: which scopes, and from when on."""

from collections import Counter
from typing import NamedTuple

from ledger.grants import GRANT, Holder, holder_key, holder_of, parts_of
from ledger.instants import FOREVER, Instant
from ledger.replaying import Replaying
from ledger.rows import after, number_key

#: Up to so many debtors of a contract are named one by one.
FEW = 100


class Seats(NamedTuple):
    """All seats of a contract, or of one of its subscriptions (0: of the contract)."""

    contract: int
    subscription: int


class Changing(Replaying):
    """An account that says what became different in it."""

    def changes(self) -> list[tuple[Holder | Seats, Instant]]:
        """Whose balances became others since this was asked last, and from when on: pools, then seats by key, then all the
        seats that need no naming one by one."""
        for (name, since), paid in self._touched_shared.items():
            if paid:
                self.touch_pool(parts_of(name)[1], since)
        self._touched_shared.clear()
        if not self._touched and not self._touched_seats:
            self._touched_debts = FOREVER
            return []
        self._touch_who_owes()
        self._touch_heirs()
        every = {
            Seats(*place): since
            for place, since in sorted(self._touched_seats.items())
            if not place[1] or since < self._touched_seats.get((place[0], 0), FOREVER)
        }
        found: list[tuple[Holder | Seats, Instant]] = []
        for key, since in sorted(self._touched.items()):
            holder = holder_of(self.customer, key)
            if holder.seat_id is None or since < every.get(Seats(holder.contract, 0), FOREVER):
                found.append((holder, since))
        found += every.items()
        self._touched.clear()
        self._touched_seats.clear()
        self._touched_debts = FOREVER
        return found

    def _touch_who_owes(self) -> None:
        """Debts are paid in one order from shared grants, so that what one debtor pays decides what is left for the others and
        for the pools."""
        since = self._touched_debts
        if since == FOREVER or not self._any_debtors():
            return
        debtors = [holder_of(self.customer, key) for key in self.debtors()]
        of = Counter(holder.contract for holder in debtors)
        given_to_customer = b"G" + number_key(self.customer.number) + holder_key(self.customer, Holder(0))
        if any(True for _ in self.book.keys(GRANT, given_to_customer, after(given_to_customer))):
            self.touch_pool(0, since)
        for contract, count in of.items():
            self.touch_pool(contract, since)
            if count > FEW:
                self.touch_seats(contract, 0, since)
        for holder in debtors:
            if of[holder.contract] <= FEW:
                self.touch(holder_key(self.customer, holder), since)

    def _touch_heirs(self) -> None:
        """Whatever a seat has goes with a carried move, whenever that is."""
        for (contract, subscription), since in list(self._touched_seats.items()):
            if subscription and self.briefs[contract].carries:
                self.touch_seats(contract, 0, since)
        if not any(brief.carries for brief in self.customer.contracts):
            return
        look = sorted(self._touched.items())
        for key, since in look:
            holder = holder_of(self.customer, key)
            if holder.seat_id is None:
                continue
            for heir, at in self._heirs(holder, since - 1):
                if at < self._touched.get(heir, FOREVER):
                    self.touch(heir, at)
                    look.append((heir, at))

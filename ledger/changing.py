"""What a fact made different: which scopes, and from when on."""

from typing import NamedTuple

from ledger.grants import Holder, holder_of, parts_of
from ledger.instants import FOREVER, Instant
from ledger.replaying import Replaying


class Seats(NamedTuple):
    """All seats of a contract, or of one of its subscriptions (0: of the contract)."""

    contract: int
    subscription: int


class Changing(Replaying):
    """An account that says what became different in it."""

    def changes(self) -> list[tuple[Holder | Seats, Instant]]:
        """Whose balances became others since this was asked last, and from when on, the floor at the earliest: pools, then seats
        by key, then all the seats that need no naming one by one."""
        for (name, since), paid in self._touched_shared.items():
            if paid:
                self.touch_pool(parts_of(name)[1], since)
        self._touched_shared.clear()
        if not self._touched and not self._touched_seats:
            self._touched_debts = FOREVER
            return []
        if self._touched_debts < FOREVER:
            self.touch_debtors(self._touched_debts)
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
        return [(whose, max(since, self.customer.floor)) for whose, since in found]

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

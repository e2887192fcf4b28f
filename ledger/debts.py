"""How the group moves on, and how the debts that were carried are paid there (L7)."""

from collections import Counter
from collections.abc import Callable, Iterable

from ledger.amounts import Amount
from ledger.grants import GRANT, Credit, Holder, Left, holder_key, holder_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.openings import Openings
from ledger.outcome import LawBroken
from ledger.rows import after, number_key, text_key
from ledger.standing import Emit, Standing, silent
from ledger.stretches import (
    CLOSED_GROUP,
    DEBTOR,
    DebtorRow,
    GroupStretch,
    Shared,
    Stretch,
)

#: Up to so many debtors of a contract are named one by one.
FEW = 100


class Debts(Openings):
    """An account whose group moves on, and in which debts are paid wherever it does."""

    def advance_group(self, at: Instant) -> None:
        """Opens the group's stretch that holds `at`, and pays carried debts on the way. Whoever draws on it saves it."""
        while True:
            current = self.group.stretch
            if at < current.until:
                return
            debtors = self._debtors_until(current.until)
            standing = self.group_closing(current)
            # Debts are paid at every boundary; while nobody owes, all but the last can wait until somebody asks for them.
            opened = self.play_group(standing, current.start, current.until if debtors else at)
            if opened.start == current.start:
                # Nothing happened at what was only a lower bound.
                current.until = opened.until
                continue
            current.debtors = debtors
            self.book.save(CLOSED_GROUP, self._closed_group_key(current.start), current)
            self.group.stretch = opened
            self._pay_debts(opened, debtors)

    def _group_for(self, at: Instant) -> GroupStretch:
        """The group's stretch that holds an instant, opened if need be. Whoever draws on it saves it."""
        if at >= self.group.stretch.until:
            self.advance_group(at)
        stretch = self.group_at(at)
        if at < stretch.until:
            return stretch
        opened = self.play_group(self.group_closing(stretch), stretch.start, at)
        if opened.start == stretch.start:
            stretch.until = opened.until
            return stretch
        return opened

    # --- who owes ---

    def _debtor_prefix(self) -> bytes:
        return b"D" + self._prefix

    def _note_debt(self, key: bytes, holder: Holder, stretch: Stretch, group_stretch: GroupStretch) -> None:
        if self.briefs[holder.contract].carry and stretch.parts and stretch.parts[-1].tail >= len(group_stretch.shared):
            self._owe(holder, key)
            if group_stretch is not self.group.stretch and key not in group_stretch.debtors:
                group_stretch.debtors = sorted(
                    [*group_stretch.debtors, key], key=lambda key: self._debtor_key(holder_of(self.customer, key))
                )
                self._save_group_stretch(group_stretch)

    def _owe(self, holder: Holder, key: bytes) -> None:
        """From now on a scope is looked at where debts are paid, until it has none."""
        debtor = self._debtor_key(holder)
        if self.book.load(DEBTOR, debtor) is None:
            self.book.save(DEBTOR, debtor, DebtorRow(key))

    def touch_burn(self, key: bytes, time: Instant) -> None:
        """A scope burned more than there was."""
        self.touch(key, time)
        self.owe_otherwise()

    def owe_otherwise(self) -> None:
        """The overage of a scope is another: where it is a debt, others pay otherwise from the next boundary on that nobody
        has looked at; up to there they are played again."""
        if any(brief.carry for brief in self.customer.contracts):
            self.touch_debts(self.group.stretch.until)

    def _debtor_key(self, holder: Holder) -> bytes:
        """Debtors are paid contract by contract, a contract's pool before its seats, seats by id."""
        order = (
            b"\0"
            if holder.seat_id is None
            else b"\1" + text_key(holder.seat_id) + text_key(holder.seat_group_key or "")
        )
        return self._debtor_prefix() + text_key(self.briefs[holder.contract].contract_id) + order

    def debtors(self) -> list[bytes]:
        if not any(brief.carry for brief in self.customer.contracts):
            return []
        prefix = self._debtor_prefix()
        return [row.holder for _, row in self.book.scan(DEBTOR, prefix, after(prefix))]

    def _debtors_until(self, at: Instant) -> list[bytes]:
        """Who may owe something in the newest stretch of the group until `at`: whoever is handed a debt by then, too."""
        debtors = self.debtors()
        heirs = self.with_heirs(debtors, self.group.stretch.start, at)[len(debtors) :]
        for heir in heirs:
            self._owe(holder_of(self.customer, heir), heir)
        return self.debtors() if heirs else debtors

    def with_heirs(self, keys: Iterable[bytes], since: Instant, until: Instant = FOREVER) -> list[bytes]:
        """Scopes, and after them those that their balances and debts are carried to in `(since, until]`, and so on."""
        found = list(keys)
        known = set(found)
        for key in found:
            for heir, at in self._heirs(holder_of(self.customer, key), since):
                if at <= until and heir not in known:
                    known.add(heir)
                    found.append(heir)
        return found

    def owed_since(self, since: Instant) -> list[bytes]:
        """Who owed something at an instant or later."""
        found = dict.fromkeys(self.debtors())
        for closed in self._closed_since(since):
            found.update(dict.fromkeys(closed.debtors))
        return list(found)

    def touch_debtors(self, since: Instant) -> None:
        """Debts are paid in one order from shared grants, so that what one debtor pays decides what is left for the others and
        for the pools."""
        owed = self.owed_since(since)
        if not owed:
            return
        before = self.group_before(since)
        handed = self.with_heirs(owed, ORIGIN if before is None else before.start)
        debtors = [holder_of(self.customer, key) for key in handed]
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

    def opened_owing(self, key: bytes, stretch: Stretch) -> bool:
        """Whether a scope's stretch opened with the group's, where its debts were paid."""
        if stretch.start != stretch.group_start:
            return False
        before = self.group_before(stretch.group_start)
        return before is not None and key in before.debtors

    def _pay_debts(self, opened: GroupStretch, debtors: list[bytes]) -> None:
        """L13's step 5 at the start of a stretch of the group: each debtor pays in L5's order. Who pays of a shared grant is
        opened there; the others' stretches go on, and say as much."""
        for key in debtors:
            holder = holder_of(self.customer, key)
            row = self._scope(key)
            shared: list[Shared] = []

            def note(payer: Shared | Credit, _: Amount, shared: list[Shared] = shared) -> None:
                if isinstance(payer, Shared):
                    shared.append(payer)

            stretch = self.open_paying(holder, self.stretch_before(row, opened.start), opened, pay=note)
            if shared:
                if row.stretch is not None and stretch.start <= row.stretch.start:
                    raise LawBroken("L13", f"a debtor of {self.credit_type} was ahead of its group")
                self._insert_stretch(key, row, stretch)
            # Outside its contract's window a debtor draws from nothing (D28).
            if not stretch.over or opened.start >= self._window(holder.contract)[1]:
                self.book.drop(DEBTOR, self._debtor_key(holder))

    def open_paying(
        self,
        holder: Holder,
        previous: Stretch | None,
        opened: GroupStretch,
        *,
        pay: "Callable[[Shared | Credit, Amount], None]",
        emit: Emit = silent,
    ) -> Stretch:
        """A debtor at the start of a stretch of the group, and what it pays from the shared grants taken off their opening."""
        at = opened.start
        standing = self.closing(holder, previous)
        bottom = standing.at
        credits = self.seat_credits(holder, bottom, at, begun=standing if emit is silent else None)
        resets = self.resets(bottom, at, [holder.contract])
        transfers = self._transfers(holder, bottom, at)
        # All but step 5 of the instant itself: its debts are paid from its own grants and the shared ones in one order.
        standing.play(credits, resets, at, transfers=transfers, emit=emit, until_step=4)
        self._pay_in_order(holder, standing, credits, opened, pay)
        return self._stretch(holder, standing, at, at, credits, opened)

    def _pay_in_order(
        self,
        holder: Holder,
        standing: Standing,
        credits: list[Credit],
        opened: GroupStretch,
        pay: Callable[[Shared | Credit, Amount], None],
    ) -> None:
        if not standing.over:
            return
        payers: list[tuple[object, Credit | Shared]] = [
            (credit.rank, credit) for credit in credits if credit.name in standing.left
        ]
        born, dies = self._window(holder.contract)
        if born <= opened.start < dies:
            payers += [(shared.rank, shared) for shared in opened.shared if shared.contract in (0, holder.contract)]
        for _, payer in sorted(payers, key=lambda pair: pair[0]):  # type: ignore[arg-type,return-value]
            if isinstance(payer, Shared):
                left = Left(payer.left, payer.granted)
                paid = standing.pay(left, opened.start, None)
                payer.left -= paid
                if paid and not payer.left and payer.dry is None:
                    payer.dry = (opened.start, "", 0)
            else:
                paid = standing.pay(standing.left[payer.name], opened.start, None)
            if paid:
                pay(payer, paid)

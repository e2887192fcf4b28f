"""How a burn enters its stretch: parts, draws on the shared grants, and the debts that are paid where the group moves on."""

from collections.abc import Callable, Iterable

from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.grants import Credit, Holder, Left, holder_key, holder_of
from ledger.instants import Instant
from ledger.openings import Openings
from ledger.outcome import LawBroken
from ledger.rows import after, text_key
from ledger.standing import Emit, Standing, silent
from ledger.stretches import (
    CLOSED_GROUP,
    CLOSED_SCOPE,
    DEBTOR,
    DebtorRow,
    GroupStretch,
    ScopeRow,
    Shared,
    Stretch,
    add,
    draws,
)


class Burning(Openings):
    """An account into whose stretches burns are put."""

    def _apply(
        self, key: bytes, holder: Holder, row: ScopeRow, burn: Burn
    ) -> tuple[Stretch, GroupStretch, list[tuple[str, Amount]]]:
        """Puts one burn into the stretches that hold its instant, opening them if need be."""
        group_stretch = self._group_for(burn.time)
        stretch = self._stretch_for(key, holder, row, burn.time, group_stretch)
        paid = self._place(stretch, group_stretch, holder, burn, 1)
        self._save_stretch(key, row, stretch)
        self.touch(key, burn.time)
        self._note_debt(key, holder, stretch, group_stretch)
        return stretch, group_stretch, paid

    def _stretch_for(
        self, key: bytes, holder: Holder, row: ScopeRow, at: Instant, group_stretch: GroupStretch
    ) -> Stretch:
        """The scope's stretch that holds an instant."""
        stretch = self.stretch_at(row, at)
        if stretch is not None:
            revision = self.briefs[holder.contract].revision
            if stretch.revision != revision:
                # What was agreed changed since; it may end earlier, also where it was closed before anybody looked.
                credits = self.seat_credits(holder, stretch.start, stretch.start)
                stretch.until = self.scope_until(holder, stretch.start, credits)
                stretch.revision = revision
                self._save_stretch(key, row, stretch)
            if at < stretch.until and stretch.group_start == group_stretch.start:
                return stretch
        opened = self._open(holder, stretch, at, group_stretch)
        if stretch is not None and opened.start == stretch.start:
            # Nothing happened at what was only a lower bound.
            stretch.until = opened.until
            self._save_stretch(key, row, stretch)
            return stretch
        self._insert_stretch(key, row, opened)
        return opened

    # --- parts ---

    def _portions(
        self, stretch: Stretch, group_stretch: GroupStretch, contract: int, burn: Burn
    ) -> list[tuple[int, Amount]]:
        """How a burn is split over the tails: each shared grant that ran dry at this very burn kept a part of it."""
        shared = group_stretch.shared
        if not stretch.inside:
            return [(len(shared) + 1, burn.amount)]
        portions = []
        rest = burn.amount
        for i, grant in enumerate(shared):
            if grant.contract not in (0, contract):
                continue
            dry = grant.dry
            if dry is None or (dry[0], dry[1]) > (burn.time, burn.id):
                portions.append((i, rest))
                return portions
            if dry[0] == burn.time and dry[1] == burn.id and dry[2]:
                kept = min(rest, dry[2])
                portions.append((i, kept))
                rest -= kept
                if not rest:
                    return portions
        portions.append((len(shared), rest))
        return portions

    def _place(
        self, stretch: Stretch, group_stretch: GroupStretch, holder: Holder, burn: Burn, sign: int
    ) -> list[tuple[str, Amount]]:
        portions = self._portions(stretch, group_stretch, holder.contract, burn)
        return self._shift(stretch, group_stretch, [(tail, sign * amount) for tail, amount in portions], burn.time)

    def _shift(
        self, stretch: Stretch, group_stretch: GroupStretch, changes: list[tuple[int, Amount]], since: Instant
    ) -> list[tuple[str, Amount]]:
        """Changes parts of a scope, and with them the draws on the shared grants, from an instant on. Answers who paid the
        difference."""
        self._hands.clear()
        taken_before, tails_before = draws(stretch.own, stretch.parts)
        before = {part.tail: tail for part, tail in zip(stretch.parts, tails_before, strict=True)}
        for tail, amount in changes:
            add(stretch.parts, tail, amount)
        taken, tails = draws(stretch.own, stretch.parts)
        shared = group_stretch.shared
        paid: list[tuple[str, Amount]] = []
        for own, now, was in zip(stretch.own, taken, taken_before, strict=True):
            if now != was:
                paid.append((own.name, now - was))
        over = 0
        for part, tail in zip(stretch.parts, tails, strict=True):
            delta = tail - before.pop(part.tail, 0)
            if delta:
                if part.tail < len(shared):
                    shared[part.tail].drawn += delta
                    self.touch_shared(shared[part.tail].name, since, delta)
                    paid.append((shared[part.tail].name, delta))
                else:
                    over += delta
        for index, amount in before.items():
            if amount:
                if index < len(shared):
                    shared[index].drawn -= amount
                    self.touch_shared(shared[index].name, since, -amount)
                    paid.append((shared[index].name, -amount))
                else:
                    over -= amount
        self._save_group_stretch(group_stretch)
        if over:
            paid.append(("", over))
            self.owe_otherwise()
        if sum(amount for _, amount in paid) != sum(amount for _, amount in changes):
            raise LawBroken("L14", f"{changes} were asked for, {paid} accounted for")
        return paid

    # --- the group moves on ---

    def advance_group(self, at: Instant) -> None:
        """Opens the group's stretch that holds `at`, and pays carried debts on the way."""
        # Debts may be paid at every boundary, also such as come to light later; without debts all but the last can wait
        # until somebody asks for them.
        stepwise = any(brief.carry for brief in self.customer.contracts)
        while True:
            current = self.group.stretch
            if at < current.until:
                return
            standing = self.group_closing(current)
            to = current.until if stepwise else at
            opened = self.play_group(standing, current.start, to)
            if opened.start == current.start:
                # Nothing happened at what was only a lower bound.
                current.until = opened.until
                self._save_group()
                continue
            self.book.save(CLOSED_GROUP, self._closed_group_key(current.start), current)
            self.group.stretch = opened
            self._save_group()
            if stepwise:
                self._pay_debts(opened)

    def _group_for(self, at: Instant) -> GroupStretch:
        """The group's stretch that holds an instant, opened if need be."""
        if at >= self.group.stretch.until:
            self.advance_group(at)
        stretch = self.group_at(at)
        if at < stretch.until:
            return stretch
        opened = self.play_group(self.group_closing(stretch), stretch.start, at)
        if opened.start == stretch.start:
            stretch.until = opened.until
            self._save_group_stretch(stretch)
            return stretch
        self.book.save(CLOSED_GROUP, self._closed_group_key(opened.start), opened)
        return opened

    # --- carried debts (L7) ---

    def _debtor_prefix(self) -> bytes:
        return b"D" + self._prefix

    def _note_debt(self, key: bytes, holder: Holder, stretch: Stretch, group_stretch: GroupStretch) -> None:
        if self.briefs[holder.contract].carry and stretch.parts and stretch.parts[-1].tail >= len(group_stretch.shared):
            debtor = self._debtor_key(holder)
            if self.book.load(DEBTOR, debtor) is None:
                self.book.save(DEBTOR, debtor, DebtorRow(key))

    def owe(self, holder: Holder) -> None:
        """A scope may be handed a debt: from now on it is looked at where debts are paid."""
        key, debtor = holder_key(self.customer, holder), self._debtor_key(holder)
        if self.book.load(DEBTOR, debtor) is None:
            self.book.save(DEBTOR, debtor, DebtorRow(key))

    def touch_burn(self, key: bytes, time: Instant, pools: Iterable[int]) -> None:
        """A scope burned more than there was, and of these pools."""
        self.touch(key, time)
        for contract in pools:
            self.touch_pool(contract, time)
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
        prefix = self._debtor_prefix()
        return [row.holder for _, row in self.book.scan(DEBTOR, prefix, after(prefix))]

    def _any_debtors(self) -> bool:
        if not any(brief.carry for brief in self.customer.contracts):
            return False
        prefix = self._debtor_prefix()
        return any(True for _ in self.book.scan_lazily(DEBTOR, prefix, after(prefix)))

    def is_debtor(self, key: bytes, holder: Holder) -> bool:
        return self.briefs[holder.contract].carry and self.book.load(DEBTOR, self._debtor_key(holder)) is not None

    def _pay_debts(self, opened: GroupStretch) -> None:
        """L13's step 5 at the start of a stretch of the group: each debtor is opened there, and pays in L5's order."""
        for key in self.debtors():
            holder = holder_of(self.customer, key)
            row = self._scope(key)
            previous = self.stretch_before(row, opened.start)
            stretch = self.open_paying(holder, previous, opened)
            if stretch is None:
                continue
            if row.stretch is None or stretch.start > row.stretch.start:
                if row.stretch is not None:
                    self.book.save(CLOSED_SCOPE, self._closed_key(row, row.stretch.start), row.stretch)
                row.stretch = stretch
                self._save_scope(key, row)
            else:
                raise LawBroken("L13", f"a debtor of {self.credit_type} was ahead of its group")
        self._save_group_stretch(opened)

    def open_paying(
        self,
        holder: Holder,
        previous: Stretch | None,
        opened: GroupStretch,
        *,
        emit: Emit = silent,
        pay: "Callable[[Shared | Credit, Amount], None] | None" = None,
    ) -> Stretch | None:
        """A debtor at the start of a stretch of the group, and what it pays from the shared grants taken off their opening."""
        at = opened.start
        standing = self.closing(holder, previous)
        bottom = standing.at
        credits = self.seat_credits(holder, bottom, at)
        resets = self.resets(bottom, at, [holder.contract])
        transfers = self._transfers(holder, bottom, at)
        # All but step 5 of the instant itself: its debts are paid from its own grants and the shared ones in one order.
        standing.play(credits, resets, at - 1, transfers=transfers, emit=emit)
        standing.play(credits, resets, at, transfers=transfers, emit=emit, until_step=4)
        self._pay_in_order(holder, standing, credits, opened, pay)
        return self._stretch(holder, standing, at, at, credits, opened)

    def _pay_in_order(
        self,
        holder: Holder,
        standing: Standing,
        credits: list[Credit],
        opened: GroupStretch,
        pay: Callable[[Shared | Credit, Amount], None] | None = None,
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
            if paid and pay is not None:
                pay(payer, paid)

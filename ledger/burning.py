"""How a burn enters its stretch: parts, and draws on the shared grants."""

from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.debts import Debts
from ledger.grants import Holder
from ledger.instants import Instant
from ledger.outcome import LawBroken
from ledger.stretches import GroupStretch, ScopeRow, Stretch, add, draws


class Burning(Debts):
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
                begun = self.closing(holder, stretch)
                credits = self.seat_credits(holder, stretch.start, stretch.start, begun=begun)
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

    def _place(
        self, stretch: Stretch, group_stretch: GroupStretch, holder: Holder, burn: Burn, sign: int
    ) -> list[tuple[str, Amount]]:
        portions = self.portions(stretch, group_stretch, holder.contract, burn)
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

"""What a change of the grants themselves changes: the burns from that instant on are played again."""

from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.grants import Holder, holder_key, holder_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.rows import after, instant_key
from ledger.settling import Settling
from ledger.stretches import CLOSED_GROUP, CLOSED_SCOPE, SCOPE, GroupStretch, ScopeRow


class Replaying(Settling):
    """An account whose past may be played again."""

    def rebuild(self, since: Instant) -> None:
        """The shared grants, or those of all seats of a contract, changed from `since` on: the burns from then on are played
        again. Without such burns this costs nothing."""
        self._hands.clear()
        self._seats.clear()
        self.touch_debts(since)
        group = self.group
        current = group.stretch
        if current.start < since and group.last < since:
            credits = self.pool_credits(current.start, current.start)
            current.until = self.group_until(current.start, credits)
            self._save_group()
            return
        again = list(self.burns(since, FOREVER))
        keys = {burn.holder for burn in again} | set(self.debtors())
        base = self._group_before(since)
        for burn in reversed(again):
            if self._base_holds(base, burn):
                self._take_out(base, burn, since)
        for key in sorted(keys):
            self._cut_scope(key, since)
        self._cut_group(base, since)
        for burn in again:
            self._reached = burn.time, burn.id
            holder = holder_of(self.customer, burn.holder)
            row = self._scope(burn.holder)
            stretch, group_stretch, _ = self._apply(burn.holder, holder, row, burn)
            if not (self._settled(group_stretch) and self._last_of(row, stretch, group_stretch)):
                self._ripple(group_stretch, {burn.holder: stretch.start})
        self._reached = None

    def _base_holds(self, base: GroupStretch | None, burn: Burn) -> bool:
        return base is not None and self.group_at(burn.time) is base

    def _take_out(self, base: GroupStretch | None, burn: Burn, since: Instant) -> None:
        assert base is not None
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        if stretch.start < since:
            self._place(stretch, base, holder_of(self.customer, burn.holder), burn, -1)
            self._save_stretch(burn.holder, row, stretch)
        else:
            portions = [(part.tail, -part.amount) for part in stretch.parts]
            self._shift(stretch, base, portions, since)
            self._save_stretch(burn.holder, row, stretch)

    def _cut_scope(self, key: bytes, since: Instant) -> None:
        """Forgets a scope's stretches that start at or after an instant."""
        row = self._scope(key)
        while row.stretch is not None and row.stretch.start >= since:
            previous = self.stretch_before(row, row.stretch.start)
            if previous is not None:
                self.book.drop(CLOSED_SCOPE, self._closed_key(row, previous.start))
            row.stretch = previous
        if row.stretch is not None:
            row.stretch.revision = -1
        self._save_scope(key, row)

    def _cut_group(self, base: GroupStretch | None, since: Instant) -> None:
        """Forgets the group's stretches that start at or after an instant, and where grants ran dry after it."""
        prefix = b"Y" + self._prefix
        keep = ORIGIN if base is None else base.start
        for key, _ in self.book.scan(CLOSED_GROUP, prefix + instant_key(keep), after(prefix)):
            self.book.drop(CLOSED_GROUP, key)
        if base is None:
            base = GroupStretch(ORIGIN, FOREVER, [])
        for shared in base.shared:
            if shared.dry is not None and shared.dry[0] >= since:
                shared.dry = None
            if shared.dry is None and not shared.left:
                shared.dry = (base.start, "", 0)
        credits = self.pool_credits(base.start, base.start) if base.start > ORIGIN else []
        base.until = self.group_until(base.start, credits)
        self.group.stretch = base
        self._save_group()

    def rework(self, holders: dict[Holder, Instant]) -> None:
        """The grants of some seats changed, each from an instant on: their burns from then on are played again, nobody
        else's."""
        self._hands.clear()
        self._seats.clear()
        self.touch_debts(min(holders.values()))
        earliest = None
        dirty: dict[bytes, Instant] = {}
        for holder, since in sorted(holders.items(), key=lambda item: item[1]):
            key = holder_key(self.customer, holder)
            self.touch(key, since)
            row = self.book.load(SCOPE, self.scope_key(key))
            if row is None or row.stretch is None:
                continue
            again = list(self.burns_of(row.number, since, FOREVER))
            if not again and row.stretch.start < since and not self.is_debtor(key, holder):
                row.stretch.revision = -1
                self._save_scope(key, row)
                continue
            first = self._rework_one(key, holder, row, since, again)
            if first is not None:
                earliest = first if earliest is None else min(earliest, first)
                before = self.stretch_before(row, since)
                dirty[key] = ORIGIN if before is None else before.start
        if earliest is not None:
            self._ripple(self.group_at(earliest), dirty)
        self._through = ORIGIN

    def _rework_one(
        self, key: bytes, holder: Holder, row: ScopeRow, since: Instant, again: list[tuple[Instant, str, Amount]]
    ) -> Instant | None:
        """Takes a scope's burns from `since` on out of its stretches and puts them back into new ones."""
        burns = [Burn(time, id, amount, key) for time, id, amount in again]
        by_place = {(burn.time, burn.id): burn for burn in burns}
        base = self.stretch_before(row, since)
        touched: list[Instant] = []
        for burn in burns:
            if base is not None and self.stretch_at(row, burn.time) is base:
                group_stretch = self.group_at(base.group_start)
                self._place(base, group_stretch, holder, burn, -1)
                touched.append(group_stretch.start)
        if base is not None:
            self._save_stretch(key, row, base)
        opened_by_debt: list[Instant] = []
        stretch = self.stretch_after(row, since - 1)
        while stretch is not None:
            group_stretch = self.group_at(stretch.group_start)
            self._shift(stretch, group_stretch, [(part.tail, -part.amount) for part in stretch.parts], since)
            touched.append(group_stretch.start)
            if stretch.start == group_stretch.start:
                opened_by_debt.append(stretch.start)
            stretch = self.stretch_after(row, stretch.start)
        self._cut_scope(key, since)
        again_at = [(at, "") for at in opened_by_debt] if self.is_debtor(key, holder) else []
        for at, id in sorted([*again_at, *((burn.time, burn.id) for burn in burns)]):
            group_stretch = self._group_for(at)
            if not id:
                # What is paid of the shared grants there follows when the change ripples on, from the stretch before.
                before = self._group_before(at)
                touched.append(group_stretch.start if before is None else before.start)
                self._insert_stretch(key, row, self._open(holder, self.stretch_before(row, at), at, group_stretch))
                continue
            stretch = self._stretch_for(key, holder, row, at, group_stretch)
            self._place(stretch, group_stretch, holder, by_place[at, id], 1)
            self._save_stretch(key, row, stretch)
            touched.append(group_stretch.start)
            self._note_debt(key, holder, stretch, group_stretch)
        self._through = max([self._through, *(at for at, _ in again_at)])
        return min(touched) if touched else (self.group_at(since).start if opened_by_debt else None)

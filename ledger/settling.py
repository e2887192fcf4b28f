"""What a burn in the past changes: who paid what in its stretch of the group, and the openings of all stretches that follow."""

from ledger.account_rows import Burn
from ledger.amounts import Amount
from ledger.burning import Burning
from ledger.grants import Holder, holder_of
from ledger.instants import FOREVER, Instant
from ledger.outcome import LawBroken
from ledger.stretches import GroupStretch, ScopeRow, Stretch


class Settling(Burning):
    """An account in which every shared grant pays what it has, in the order of time, and no more."""

    def _settled(self, group_stretch: GroupStretch) -> bool:
        for shared in group_stretch.shared:
            if shared.drawn > shared.left or (shared.dry is not None and shared.drawn < shared.left):
                return False
        return True

    def _last_of(self, row: ScopeRow, stretch: Stretch, group_stretch: GroupStretch) -> bool:
        """Whether nothing that was computed before comes after these stretches."""
        return stretch is row.stretch and group_stretch is self.group.stretch

    def _settle(self, group_stretch: GroupStretch, touched: dict[bytes, Instant]) -> None:
        """Moves burns between the parts until every shared grant paid what it had, in the order of time, and no more."""
        for i, shared in enumerate(group_stretch.shared):
            if shared.drawn > shared.left:
                self._push(group_stretch, i, touched)
            elif shared.dry is not None and shared.drawn < shared.left:
                self._pull(group_stretch, i, touched)

    def _end_of(self, group_stretch: GroupStretch) -> Instant:
        following = self.group_after(group_stretch.start)
        return FOREVER if following is None else following.start

    def _move(
        self, burn: Burn, group_stretch: GroupStretch, changes: list[tuple[int, Amount]], touched: dict[bytes, Instant]
    ) -> None:
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        self._shift(stretch, group_stretch, changes, burn.time)
        self._save_stretch(burn.holder, row, stretch)
        self._note_debt(burn.holder, holder_of(self.customer, burn.holder), stretch, group_stretch)
        touched[burn.holder] = min(touched.get(burn.holder, FOREVER), stretch.start)
        self.touch(burn.holder, burn.time)

    def _portions_of(self, burn: Burn, group_stretch: GroupStretch) -> dict[int, Amount]:
        holder = holder_of(self.customer, burn.holder)
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        return dict(self.portions(stretch, group_stretch, holder.contract, burn))

    def _push(self, group_stretch: GroupStretch, i: int, touched: dict[bytes, Instant]) -> None:
        """A shared grant paid more than it had: its last takers go on to what comes after it."""
        shared = group_stretch.shared[i]
        end = self._end_of(group_stretch) if shared.dry is None else shared.dry[0] + 1
        moved: list[tuple[Burn, dict[int, Amount]]] = []
        for burn in self.burns(group_stretch.start, end, reverse=True):
            if shared.contract not in (0, int.from_bytes(burn.holder[:4], "big")):
                continue
            portions = self._portions_of(burn, group_stretch)
            portion = portions.get(i, 0)
            if not portion:
                continue
            moved.append((burn, portions))
            self._move(burn, group_stretch, [(i, -portion)], touched)
            if shared.drawn <= shared.left:
                break
        else:
            raise LawBroken("L14", f"{shared.name} paid {shared.drawn} of {shared.left} and nobody took it")
        first, portions = moved[-1]
        fits = self._fitting(first, group_stretch, i, portions[i])
        shared.dry = (first.time, first.id, fits)
        for burn, old in moved:
            new = self._portions_of(burn, group_stretch)
            old[i] = 0
            changes = [(tail, new.get(tail, 0) - old.get(tail, 0)) for tail in sorted({*old, *new})]
            self._move(burn, group_stretch, [change for change in changes if change[1]], touched)

    def _fitting(self, burn: Burn, group_stretch: GroupStretch, i: int, portion: Amount) -> Amount:
        """How much of a burn that a shared grant cannot wholly pay comes no further than this grant."""
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        shared = group_stretch.shared[i]
        self._shift(stretch, group_stretch, [(i, portion)], burn.time)
        excess = shared.drawn - shared.left
        self._shift(stretch, group_stretch, [(i, -portion)], burn.time)
        return portion - excess

    def _pull(self, group_stretch: GroupStretch, i: int, touched: dict[bytes, Instant]) -> None:
        """A shared grant that ran dry has something left: the burns that passed it by come back to it, in order."""
        shared = group_stretch.shared[i]
        dry = shared.dry
        assert dry is not None
        for burn in self.burns(dry[0], self._end_of(group_stretch)):
            if shared.contract not in (0, int.from_bytes(burn.holder[:4], "big")):
                continue
            old = self._portions_of(burn, group_stretch)
            later = [(tail, amount) for tail, amount in old.items() if i < tail <= len(group_stretch.shared)]
            rest = sum(amount for _, amount in later)
            if not rest:
                continue
            self._move(burn, group_stretch, [(i, rest), *((tail, -amount) for tail, amount in later)], touched)
            for tail, _ in later:
                if tail < len(group_stretch.shared):
                    other = group_stretch.shared[tail]
                    if other.dry is not None and other.dry[:2] == (burn.time, burn.id):
                        other.dry = (burn.time, burn.id, 0)
            excess = shared.drawn - shared.left
            if excess > 0:
                self._move(burn, group_stretch, [(i, -excess)], touched)
                shared.dry = (burn.time, burn.id, old.get(i, 0) + rest - excess)
                new = self._portions_of(burn, group_stretch)
                self._move(burn, group_stretch, [(tail, amount) for tail, amount in new.items() if tail > i], touched)
                return
        shared.dry = None
        self._save_group_stretch(group_stretch)

    # --- what a changed past changes later ---

    def _follow(self, group_stretch: GroupStretch, dirty: dict[bytes, Instant]) -> dict[bytes, Instant]:
        """Opens anew the stretches that follow changed ones, as far as this stretch of the group goes. Answers the scopes
        whose changes reach beyond it."""
        end = self._end_of(group_stretch)
        beyond: dict[bytes, Instant] = {}
        for key, since in dirty.items():
            holder = holder_of(self.customer, key)
            row = self._scope(key)
            start = since
            while True:
                following = self.stretch_after(row, start)
                if following is None:
                    break
                if following.start >= end:
                    beyond[key] = start
                    break
                previous = self.stretch_before(row, following.start)
                if not self._reopen(key, holder, row, previous, following, group_stretch):
                    break
                start = following.start
        return beyond

    def _reopen(
        self,
        key: bytes,
        holder: Holder,
        row: ScopeRow,
        previous: Stretch | None,
        stretch: Stretch,
        group_stretch: GroupStretch,
    ) -> bool:
        """A stretch whose past changed: a new opening, the same burns. Whether anything became different."""
        fresh = self._open(holder, previous, stretch.start, group_stretch)
        if fresh.own == stretch.own and fresh.over == stretch.over and fresh.frozen == stretch.frozen:
            return False
        parts = [(part.tail, part.amount) for part in stretch.parts]
        self._shift(stretch, group_stretch, [(tail, -amount) for tail, amount in parts], stretch.start)
        stretch.own, stretch.over, stretch.frozen = fresh.own, fresh.over, fresh.frozen
        self._shift(stretch, group_stretch, parts, stretch.start)
        self._save_stretch(key, row, stretch)
        return True

    def _reopen_group(self, previous: GroupStretch, stretch: GroupStretch) -> bool:
        """A stretch of the group whose past changed: new openings for its grants, the same draws."""
        fresh = self.play_group(self.group_closing(previous), previous.start, stretch.start)
        changed = False
        for old, new in zip(stretch.shared, fresh.shared, strict=True):
            if old.name != new.name:
                raise LawBroken("L15", f"{old.name} became {new.name} in a changed past")
            if old.left != new.left or old.granted != new.granted:
                changed = True
                old.left, old.granted = new.left, new.granted
                # It is not marked as dry where nothing is left: burns may end at it that their own grants paid.
        if changed:
            self._save_group_stretch(stretch)
        return changed

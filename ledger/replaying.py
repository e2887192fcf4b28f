"""What a change of the grants themselves changes: the burns from that instant on are played again."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

from ledger.account_rows import Burn
from ledger.ageing import finish
from ledger.amounts import Amount
from ledger.grants import Holder, holder_key, holder_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.outcome import LawBroken
from ledger.settling import Settling
from ledger.stretches import CLOSED_GROUP, CLOSED_SCOPE, SCOPE, GroupStretch, ScopeRow


class Seen(NamedTuple):
    """A stretch of a scope, by value."""

    start: Instant
    opening: tuple[object, ...]
    parts: list[tuple[int, Amount]]


class Replaying(Settling):
    """An account whose past may be played again."""

    def _ripple(self, group_stretch: GroupStretch, dirty: dict[bytes, Instant]) -> None:
        """Settles a stretch of the group and carries on what became different, through all later ones, until nothing does.
        `dirty` maps each scope that changed to the start of its first changed stretch. What carried moves hand on and what
        debtors pay is not followed: from there on all burns are played again."""
        handed = FOREVER
        while True:
            while dirty or not self._settled(group_stretch):
                handed = min([handed, *(self._handed_on(key, start) for key, start in dirty.items())])
                dirty = self._follow(group_stretch, dirty)
                if self._settled(group_stretch):
                    break
                moved: dict[bytes, Instant] = {}
                self._settle(group_stretch, moved)
                for key, start in moved.items():
                    dirty[key] = min(start, dirty.get(key, FOREVER))
            following = self.group_after(group_stretch.start)
            end = FOREVER if following is None else following.start
            if handed < end:
                self.rebuild(handed)
                return
            if following is None:
                return
            if group_stretch.debtors:
                self.rebuild(min(group_stretch.until, end))
                return
            changed = self._reopen_group(group_stretch, following)
            if not changed and not dirty and handed == FOREVER:
                return
            group_stretch = following

    def _handed_on(self, key: bytes, since: Instant) -> Instant:
        """When something of a scope was carried to another seat after `since`, as far as anything came after it."""
        known = max(self.group.last, self.group.stretch.start) if self._reached is None else self._reached[0]
        first = min((at for _, at in self._heirs(holder_of(self.customer, key), since)), default=FOREVER)
        return first if first <= known else FOREVER

    def rebuild(self, since: Instant, seats: Iterable[Holder] = ()) -> None:
        """The shared grants, or those of all seats of a contract, changed from `since` on, and those of the seats named: the
        burns from then on are played again. Without such burns this costs nothing."""
        if self._reached is not None:
            raise LawBroken("L15", "what is played again in order has nothing after it")
        since = max(since, self.customer.floor)
        self._finish_ageing(since)
        self._hands.clear()
        self._seats.clear()
        keys = set()
        for holder in seats:
            key = holder_key(self.customer, holder)
            self.touch(key, since)
            if self.book.load(SCOPE, self.scope_key(key)) is not None:
                keys.add(key)
        group = self.group
        current = group.stretch
        if current.start < since and group.last < since:
            for key in sorted(keys):
                self._cut_scope(key, since)
            self.touch_debts(since)
            credits = self.pool_credits(current.start, current.start)
            current.until = self.group_until(current.start, credits)
            self._save_group()
            return
        again = list(self.burns(since, FOREVER))
        base = self.group_before(since)
        keys.update(burn.holder for burn in again)
        keys.update(self.owed_since(since))
        touched, self._touched = self._touched, {}
        self.touch_debtors(since)
        owed, self._touched = self._touched, {}
        seen = {key: self._seen(key, since) for key in sorted(keys)}
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
        burned, self._touched = self._touched, owed
        self.touch_debtors(since)
        owed, self._touched = self._touched, touched
        self.touch_debts(self.group.stretch.until)
        for key in sorted(burned.keys() | owed.keys()):
            at = min(burned.get(key, FOREVER), owed.get(key, FOREVER))
            if holder_of(self.customer, key).seat_id is None:
                self.touch(key, at)  # a pool is known by what it paid
                continue
            different = self._different(seen.get(key, []), self._seen(key, since), burned.get(key, since))
            if different is not None:
                self.touch(key, max(different, since))

    def _finish_ageing(self, since: Instant) -> None:
        if since < self.horizon and self.single_from < self.horizon and self.group.first < self.horizon:
            finish(self, self.horizon)

    def _seen(self, key: bytes, since: Instant) -> list[Seen]:
        """All that a scope's balances from an instant on follow from."""
        self.book.breathe()
        row = self.book.load(SCOPE, self.scope_key(key))
        if row is None:
            return []
        found = []
        stretch = self.stretch_before(row, since) or self.stretch_after(row, ORIGIN - 1)
        while stretch is not None:
            own = [(own.name, own.left, own.granted, own.place) for own in (*stretch.own, *stretch.frozen)]
            opening = stretch.inside, stretch.over, self._no_tail(stretch), own
            found.append(Seen(stretch.start, opening, [(part.tail, part.amount) for part in stretch.parts]))
            stretch = self.stretch_after(row, stretch.start)
        return found

    def _different(self, before: list[Seen], now: list[Seen], burned_at: Instant) -> Instant | None:
        """From when on a scope is not what it was; most are played again only to find that they are."""
        for old, new in zip_longest(before, now):
            if old != new:
                if old is None or new is None or old.start != new.start:
                    return min(one.start for one in (old, new) if one is not None)
                return old.start if old.opening != new.opening else max(old.start, burned_at)
        return None

    def _base_holds(self, base: GroupStretch | None, burn: Burn) -> bool:
        return base is not None and self.group_at(burn.time) is base

    def _take_out(self, base: GroupStretch | None, burn: Burn, since: Instant) -> None:
        """Out of the stretch that holds a burn, which is the scope's newest when it is cut, and saved there."""
        assert base is not None
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        if stretch.start < since:
            self._place(stretch, base, holder_of(self.customer, burn.holder), burn, -1)
        else:
            self._shift(stretch, base, [(part.tail, -part.amount) for part in stretch.parts], since)

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
        for closed in self._closed_since(since):
            self.book.drop(CLOSED_GROUP, self._closed_group_key(closed.start))
        if base is None:
            base = GroupStretch(ORIGIN, FOREVER, [])
        for shared in base.shared:
            if shared.dry is not None and shared.dry[0] >= since:
                shared.dry = None
        # Who owed then and has paid since owes again.
        for key in base.debtors:
            self._owe(holder_of(self.customer, key), key)
        credits = self.pool_credits(base.start, base.start)
        base.until = self.group_until(base.start, credits)
        self.group.stretch = base
        self._save_group()

    def rework(self, holders: dict[Holder, Instant]) -> None:
        """The grants of some seats changed, each from an instant on: their burns from then on are played again, nobody
        else's; but for what carried moves and debts connect, where all are."""
        holders = {holder: max(changed, self.customer.floor) for holder, changed in holders.items()}
        since = min(holders.values())
        self._finish_ageing(since)
        if self.owed_since(since) or any(self._moves_since(holder, changed) for holder, changed in holders.items()):
            self.rebuild(since, holders)
            return
        starts: set[Instant] = set()
        for holder, changed in sorted(holders.items(), key=lambda item: item[1]):
            key = holder_key(self.customer, holder)
            self.touch(key, changed)
            row = self.book.load(SCOPE, self.scope_key(key))
            if row is not None:
                starts |= self._rework_one(key, holder, row, changed)
        for start in sorted(starts):
            self._ripple(self.group_at(start), {})

    def _moves_since(self, holder: Holder, since: Instant) -> bool:
        """Whether a carried move touches a seat from an instant on."""
        return (
            holder.seat_id is not None
            and self.briefs[holder.contract].carries
            and bool(self._moves(holder, since, FOREVER))
        )

    def _rework_one(self, key: bytes, holder: Holder, row: ScopeRow, since: Instant) -> set[Instant]:
        """Takes a scope's burns from `since` on out of its stretches and puts them back into new ones. Answers the starts of
        the stretches of the group that this changed."""
        burns = [Burn(time, id, amount, key) for time, id, amount in self.burns_of(row.number, since, FOREVER)]
        base = self.stretch_before(row, since)
        for burn in burns:
            if base is not None and self.stretch_at(row, burn.time) is base:
                self._place(base, self.group_at(base.group_start), holder, burn, -1)
        stretch = self.stretch_after(row, since - 1)
        while stretch is not None:
            group_stretch = self.group_at(stretch.group_start)
            self._shift(stretch, group_stretch, [(part.tail, -part.amount) for part in stretch.parts], since)
            stretch = self.stretch_after(row, stretch.start)
        self._cut_scope(key, since)
        touched: set[Instant] = set()
        for burn in burns:
            group_stretch = self._group_for(burn.time)
            stretch = self._stretch_for(key, holder, row, burn.time, group_stretch)
            self._place(stretch, group_stretch, holder, burn, 1)
            self._save_stretch(key, row, stretch)
            touched.add(group_stretch.start)
        return touched

"""How an account begins anew at an instant, with what it had: nothing of it follows from what was before (ledger.leaving)."""

from collections.abc import Iterator

from ledger.changing import Changing
from ledger.grants import holder_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.rows import after, instant_key, number_key
from ledger.stretches import ScopeRow


class Anew(Changing):
    """An account whose stretches may be cut where nothing happened."""

    def begin_group_anew(self, at: Instant) -> bool:
        """Cuts the group's stretch at an instant. False where what comes after it hangs together with what was before: debts are
        owed, balances were carried, or burns on both sides draw on one grant."""
        if any(brief.carries and brief.starting_at <= at < brief.ending_before for brief in self.customer.contracts):
            return False
        stretch = self._group_for(at)
        self._save_group_stretch(stretch)
        if self.owed_since(at):
            return False
        if stretch.start == at or not stretch.shared:
            return True
        following = self.group_after(stretch.start)
        if any(True for _ in self.burns(at, FOREVER if following is None else following.start)):
            return False
        opened = self.play_group(self.group_closing(stretch), stretch.start, at)
        opened.start = at
        if stretch is self.group.stretch:
            self.group.stretch = opened
            self._save_group_stretch(stretch)
        self._save_group_stretch(opened)
        return True

    def begin_anew(self, key: bytes, row: ScopeRow, at: Instant) -> bool:
        """Cuts a scope's stretch at an instant; False where it holds burns on both sides."""
        stretch = self.stretch_at(row, at)
        if stretch is None:
            return True
        self._begin_heirs_anew(key, at)
        if not row.burned and any(True for _ in self.burns_of(row.number, ORIGIN, at)):
            row.burned = True
            self._save_scope(key, row)
        if stretch.start == at:
            return True
        following = self.stretch_after(row, stretch.start)
        if any(True for _ in self.burns_of(row.number, at, FOREVER if following is None else following.start)):
            return False
        opened = self._open(holder_of(self.customer, key), stretch, at, self.group_at(at))
        opened.start = at
        self._insert_stretch(key, row, opened)
        return True

    def _begin_heirs_anew(self, key: bytes, at: Instant) -> None:
        """Whoever a scope's debt was carried to, and has burned nothing, owes it from now on without looking back."""
        brief = self.briefs[holder_of(self.customer, key).contract]
        if not (brief.carry and brief.carries):
            return
        for heir in self.with_heirs([key], ORIGIN, at)[1:]:
            row = self._scope(heir)
            if self.stretch_at(row, at) is None:
                opened = self._open(holder_of(self.customer, heir), None, at, self.group_at(at))
                if opened.over:
                    self._insert_stretch(heir, row, opened)

    def begin_at(self, at: Instant) -> None:
        """All have begun anew: no burn before an instant is looked for any more."""
        self.group.first = max(self.group.first, at)
        self._save_group()

    def behind(self, at: Instant, place: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Where the rows lie that nothing at an instant or later follows from, in the order of keys, from a key on: from which
        one, until before which."""
        for tag, until in ((b"T", at), (b"Y", self.group_at(at).start), (b"b", at), (b"x", at)):
            prefix = tag + self._prefix
            if place >= after(prefix):
                continue
            if tag in (b"Y", b"x"):
                prefixes = iter([prefix])
            else:
                first = int.from_bytes(place[7:11], "big") if place.startswith(prefix) else 1
                prefixes = (prefix + number_key(number) for number in range(first, self.group.scopes + 1))
            for each in prefixes:
                low, high = max(each, place), each + instant_key(until)
                if low < high:
                    yield low, high

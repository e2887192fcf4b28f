"""The fold: how burns meet grants.

All that one customer has of one credit type is an `Account`. Its time is cut twice:

- The *group* is cut into stretches where something happens to a shared grant (of a contract's pool, or the customer's).
- Each *scope* (a seat, or the pool's own burns) is cut where something happens to a grant of its own, and where its group is.

Within a stretch only sums matter. A seat burns its own grants and the shared ones in L5's order, so as long as a shared
grant has credit, what the seat takes of it follows from the seat's own sum. A shared grant remembers the burn that it
could not wholly pay (`dry`); burns before that draw on it, later ones pass it by. So a scope's sum is kept in *parts*, one
for each shared grant (its *tail*) at which its burns ended, and a burn changes one part and one draw, in whatever order
burns arrive.

Only when a late burn makes a shared grant run dry earlier (or a burn taken back, later) do burns move to another part: the
last takers before that point, found by an index of burns in the order of time, and no other (`_settle`). What this changes
in later stretches ripples forward through their openings. Where the past of the grants themselves changes, or what changed
reaches a carried move or a debt that was paid, the burns from that instant on are played again (`rebuild`, `rework`).

Each layer has a file: the rows (`stretches`, `account_rows`), what a stretch opens with (`openings`), how the group moves on
(`debts`), how a burn enters its stretch (`burning`), what a burn in the past changes there (`settling`), what that changes
later (`replaying`), what of all that is said (`changing`), how it is cut off from its past (`anew`), and here the whole.
"""

from typing import Final

from ledger.account_rows import ERA, ERA_BIAS, Burn, Lane, Seat, encode_amount, place_of
from ledger.amounts import Amount
from ledger.anew import Anew
from ledger.contracts import ContractBrief, CustomerRow
from ledger.grants import Holder, holder_key, holder_of
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.rows import Book
from ledger.stretches import (
    CLOSED_SCOPE,
    GROUP,
    RECENT,
    SCOPE,
    GroupStretch,
    Part,
    ScopeRow,
    Stretch,
    add,
    draws,
    in_order,
)

#: So many burns that came after another are read to tell who paid that.
MOST_READ: Final = 200
#: More than any sum of amounts.
NO_LIMIT: Final = 1 << 88


class Account(Anew):
    """All that a customer has of one credit type. Reads and writes rows through a `Book`; keeps no state of its own but
    for one batch. What became different in it, `changes` says."""

    def __init__(self, book: Book, customer: CustomerRow, credit_type: str) -> None:
        super().__init__(book, customer, credit_type)
        self._era = -1
        self._era_prefix = b""

    # --- burning ---

    def burn(self, holder: Holder, time: Instant, id: str, amount: Amount) -> list[tuple[str, Amount]]:
        """Folds one burn. Answers what each grant paid of it as of now, and the overage under the name ""."""
        key = holder_key(self.customer, holder)
        row = self._scope(key)
        rows = self.book.rows
        rows.put("trail", self._burn_key(row.number, time, id), encode_amount(amount))
        rows.put("trail", self._index_key(time, id), encode_amount(amount) + key)
        group = self.group
        if time < group.first or time > group.last:
            group.first = min(group.first, time)
            group.last = max(group.last, time)
            self._save_group()
        stretch, group_stretch, paid = self._apply(key, holder, row, Burn(time, id, amount, key))
        newest = row.note(time, id, amount) == 0
        self._save_scope(key, row)
        alone = self._settled(group_stretch) and self._last_of(row, stretch, group_stretch)
        if not alone or self._heirs(holder, time):
            self._ripple(group_stretch, {key: stretch.start})
        elif newest:
            return in_order(stretch.own, group_stretch.shared, paid)
        return self.paid_by(Burn(time, id, amount, key), holder)

    def burn_quickly(
        self,
        brief: ContractBrief,
        seat_id: str | None,
        seat_group_key: str,
        time: Instant,
        id: str,
        id_key: bytes,
        amount: Amount,
    ) -> tuple["Seat", list[tuple[str, Amount]], int | None] | None:
        """What `burn` does, for the usual burn: one that falls into the newest stretches, behind every point at which a
        shared grant ran dry, and is paid without making one run dry. Answers too whose shared grant paid (its contract,
        0 for the customer's). None, and nothing done, for any other. That nothing has aged there yet, the caller knows but for
        this account."""
        seat = self._seats.get((brief.number, seat_group_key, seat_id))
        if seat is None:
            seat = self._find_seat(brief, seat_id, seat_group_key)
            if seat is None:
                return None
        lane = seat.lane
        recent = seat.row.recent
        if (
            lane is not None
            and lane.turn == self.turn
            and lane.revision == brief.revision
            and recent[-1][0] < time < lane.until
        ):
            has = lane.part.amount + amount
            grant = lane.shared
            if has <= lane.limit if grant is None else grant.drawn + amount <= grant.left:
                lane.part.amount = has
                if grant is not None:
                    grant.drawn += amount
                recent.append((time, id, amount))
                if len(recent) > RECENT:
                    del recent[0]
                self._put(seat, time, id_key, amount)
                return seat, [(lane.payer, amount)], lane.pool
        paid = self._share_out(seat, brief, time, id, amount)
        if paid is None:
            return None
        self._put(seat, time, id_key, amount)
        return seat, *paid

    def _share_out(
        self, seat: "Seat", brief: ContractBrief, time: Instant, id: str, amount: Amount
    ) -> tuple[list[tuple[str, Amount]], int | None] | None:
        """Who pays a burn of a scope that no lane takes: what `burn_quickly` answers."""
        group_row = self.group
        if time < seat.carried_until or time < group_row.aged:
            return None
        row = seat.row
        stretch = row.stretch
        group = group_row.stretch
        if (
            stretch is None
            or time < stretch.start
            or time >= stretch.until
            or time >= group.until
            or stretch.group_start != group.start
            or stretch.revision != brief.revision
            or not stretch.inside
        ):
            return None
        shared = group.shared
        contract = brief.number
        tail = 0
        for grant in shared:
            if not grant.contract or grant.contract == contract:
                dry = grant.dry
                if dry is None:
                    break
                if dry[0] > time or (dry[0] == time and dry[1] >= id):
                    return None
            tail += 1
        recent = row.recent
        later = 0
        older = False
        newest = not recent or time > recent[-1][0] or (time == recent[-1][0] and id > recent[-1][1])
        if not newest:
            older = recent[0][:2] > (time, id)
            later = 0 if older else sum([each[2] for each in recent if each[:2] > (time, id)])
        # The part that the burn goes to was `had`, and the burn is the amount from `low` to `high` of what it will be.
        parts = stretch.parts
        own = stretch.own
        had = 0
        taken: list[Amount] | None = None
        if parts:
            if parts[-1].tail > tail:
                return None
            if parts[-1].tail == tail:
                had = parts[-1].amount
                if len(parts) > 1:
                    taken = draws(own, parts[:-1])[0]
            else:
                taken = draws(own, parts)[0]
        has = had + amount
        high = has - later
        low = high - amount
        paid: list[tuple[str, Amount]] = []
        reach = 0
        for i, mine in enumerate(own):
            if mine.place > tail:
                break
            before = reach
            reach += mine.left if taken is None else mine.left - taken[i]
            if older and reach and (before or reach < has):
                # Who paid it depends on how much came after it: all that is in this part.
                burned = self._burned_since(seat, time, id)
                if burned is None:
                    return None
                older = False
                high, low = has - burned, has - burned - amount
            take = (high if high < reach else reach) - (low if low > before else before)
            if take > 0:
                paid.append((mine.name, take))
            if has <= reach:
                break
        beyond = has - (had if had > reach else reach)
        pool: int | None = None
        if beyond > 0:
            if tail < len(shared):
                grant = shared[tail]
                pool = grant.contract
                if grant.drawn + beyond > grant.left:
                    return None
                grant.drawn += beyond
            take = high - (low if low > reach else reach)
            if take > 0:
                paid.append((shared[tail].name if tail < len(shared) else "", take))
        if parts and parts[-1].tail == tail:
            parts[-1].amount = has
        else:
            parts.append(Part(tail, amount))
        if newest:
            recent.append((time, id, amount))
            if len(recent) > RECENT:
                del recent[0]
        else:
            row.note(time, id, amount)
        if brief.carry and tail == len(shared) and beyond > 0:
            self._note_debt(seat.key, seat.holder, stretch, group)
        lane = seat.lane
        if lane is None or lane.turn != self.turn or lane.revision != brief.revision or has > lane.limit:
            seat.lane = self._lane(brief, stretch, tail, taken)
        return paid, pool

    def _burned_since(self, seat: "Seat", time: Instant, id: str) -> Amount | None:
        """What a scope burned after a burn that is not there yet; None where that is much to read."""
        burned = 0
        rows = self.burn_rows(seat.row.number, (time, id), (FOREVER, ""))
        for count, (_, value) in enumerate(rows):
            if count == MOST_READ:
                return None
            burned += int.from_bytes(value[:11], "big")
        return burned

    def _lane(self, brief: ContractBrief, stretch: Stretch, tail: int, taken: list[Amount] | None) -> Lane | None:
        """How a scope's burns go that are newer than one that went to its last part, given what the parts before took of its
        own grants."""
        group = self.group.stretch
        part = stretch.parts[-1]
        until = min(stretch.until, group.until)
        reach = 0
        for i, mine in enumerate(stretch.own):
            if mine.place > tail:
                break
            reach += mine.left if taken is None else mine.left - taken[i]
            if part.amount < reach:
                return Lane(self.turn, brief.revision, until, part, mine.name, reach, None)
        if tail == len(group.shared):
            return None
        payer = group.shared[tail]
        return Lane(self.turn, brief.revision, until, part, payer.name, NO_LIMIT, payer)

    def _put(self, seat: "Seat", time: Instant, id_key: bytes, amount: Amount) -> None:
        """Writes a usual burn, and what it changed."""
        group_row = self.group
        if not group_row.first <= time <= group_row.last:
            group_row.first = time if time < group_row.first else group_row.first
            group_row.last = time if time > group_row.last else group_row.last
        era = time // ERA
        if era != self._era:
            self._era = era
            self._era_prefix = (era + ERA_BIAS).to_bytes(4, "big") + self._prefix
        place = (time + (1 << 63)).to_bytes(8, "big") + id_key
        put = self.book.rows.put
        as_bytes = amount.to_bytes(11, "big")
        put("trail", b"b" + self._era_prefix + seat.row.number.to_bytes(4, "big") + place, as_bytes)
        put("trail", b"x" + self._era_prefix + place, as_bytes + seat.key)
        save = self.book.save
        save(SCOPE, seat.row_key, seat.row)
        save(GROUP, self._group_key, group_row)

    def _find_seat(self, brief: ContractBrief, seat_id: str | None, seat_group_key: str) -> "Seat | None":
        if seat_id is not None and seat_group_key not in self.customer.seat_group_keys:
            return None
        holder = Holder(brief.number) if seat_id is None else Holder(brief.number, seat_id, seat_group_key)
        key = holder_key(self.customer, holder)
        row_key = b"S" + self._prefix + key
        row = self.book.load(SCOPE, row_key)
        if row is None:
            return None
        seat = self._seats[brief.number, seat_group_key, seat_id] = Seat(holder, key, row_key, row)
        self._stay(row_key, row)
        if brief.carries:
            seat.carried_until = max((at for _, at in self._heirs(holder, ORIGIN)), default=ORIGIN)
        return seat

    def unburn(self, burn: Burn) -> None:
        """Takes a burn back: it counts as if it had never been (L4)."""
        holder = holder_of(self.customer, burn.holder)
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        group_stretch = self.group_at(burn.time)
        assert stretch is not None
        self._place(stretch, group_stretch, holder, burn, -1)
        row.unnote(burn.time, burn.id)
        self._save_scope(burn.holder, row)
        rows = self.book.rows
        rows.delete("trail", self._burn_key(row.number, burn.time, burn.id))
        rows.delete("trail", self._index_key(burn.time, burn.id))
        self.touch(burn.holder, burn.time)
        self._save_stretch(burn.holder, row, stretch)
        self._ripple(group_stretch, {burn.holder: stretch.start})
        emptied = self.stretch_at(row, burn.time)
        if emptied is not None and not emptied.parts and not self.opened_owing(burn.holder, emptied):
            self._forget_stretch(row, emptied)

    def _forget_stretch(self, row: ScopeRow, stretch: Stretch) -> None:
        """A stretch without burns says nothing that its predecessor does not; one in which a debt was paid may, and one whose
        predecessor has left (ledger.leaving)."""
        if stretch.start < self.customer.floor:
            return
        if stretch is row.stretch:
            row.stretch = self.stretch_before(row, stretch.start)
            if row.stretch is not None:
                self.book.drop(CLOSED_SCOPE, self._closed_key(row, row.stretch.start))
        else:
            self.book.drop(CLOSED_SCOPE, self._closed_key(row, stretch.start))

    # --- who paid ---

    def paid_by(self, wanted: Burn, holder: Holder) -> list[tuple[str, Amount]]:
        """What each grant paid of a burn, as of all that is known now; the overage under the name ""."""
        group_stretch = self.group_at(wanted.time)
        row = self._scope(wanted.holder)
        stretch = self.stretch_at(row, wanted.time)
        assert stretch is not None
        alone = self._alone(stretch, group_stretch, holder, wanted)
        if alone is not None:
            return alone
        following = self.stretch_after(row, stretch.start)
        start, end = max(stretch.start, self.group.first), FOREVER if following is None else following.start
        place = (wanted.time, wanted.id)
        # What came before it is what is there less what comes after: from the nearer end.
        if 2 * wanted.time < start + min(end, self.group.last + 1):
            before: list[Part] = []
            self._add_burns(before, 1, stretch, group_stretch, holder, row, (start, ""), place)
        else:
            before = [Part(part.tail, part.amount) for part in stretch.parts]
            # It is itself among those that are taken off: `attribute` adds it.
            self._add_burns(before, -1, stretch, group_stretch, holder, row, place, (end, ""))
        return self.attribute(stretch, group_stretch, holder, wanted, before)

    def _add_burns(
        self,
        parts: list[Part],
        sign: int,
        stretch: Stretch,
        group_stretch: GroupStretch,
        holder: Holder,
        row: ScopeRow,
        low: tuple[Instant, str],
        high: tuple[Instant, str],
    ) -> None:
        """Adds the scope's burns of a stretch with `low <= (time, id) < high` to parts, or with `sign` -1 takes them off."""
        tail, limit, total = 0, b"", 0
        for place, value in self.burn_rows(row.number, low, high):
            if place >= limit:
                # The first burn, or the first behind a point at which a shared grant ran dry: this one may be split.
                add(parts, tail, sign * total)
                total = 0
                time, id = place_of(place)
                burn = Burn(time, id, int.from_bytes(value[:11], "big"), b"")
                for index, portion in self.portions(stretch, group_stretch, holder.contract, burn):
                    add(parts, index, sign * portion)
                tail, limit = self.tail_after(stretch, group_stretch, holder.contract, place)
            else:
                total += int.from_bytes(value[:11], "big")
        add(parts, tail, sign * total)

    def _alone(
        self, stretch: Stretch, group_stretch: GroupStretch, holder: Holder, burn: Burn
    ) -> list[tuple[str, Amount]] | None:
        """Who paid a burn, where one grant pays all that its part holds, so that it does not matter what came before it."""
        portions = self.portions(stretch, group_stretch, holder.contract, burn)
        if len(portions) != 1:
            return None
        tail = portions[0][0]
        earlier = [part for part in stretch.parts if part.tail < tail]
        taken, _ = draws(stretch.own, earlier)
        has = sum(part.amount for part in stretch.parts if part.tail == tail)
        for own, took in zip(stretch.own, taken, strict=True):
            if own.place <= tail and own.left > took:
                return [(own.name, burn.amount)] if own.left - took >= has else None
        shared = group_stretch.shared
        return [(shared[tail].name if tail < len(shared) else "", burn.amount)]

    def attribute(
        self, stretch: Stretch, group_stretch: GroupStretch, holder: Holder, burn: Burn, parts: list[Part]
    ) -> list[tuple[str, Amount]]:
        """Who paid a burn, given the parts of the burns before it in its stretch; adds it to them."""
        taken_before, tails_before = draws(stretch.own, parts)
        before = {part.tail: tail for part, tail in zip(parts, tails_before, strict=True)}
        for tail, amount in self.portions(stretch, group_stretch, holder.contract, burn):
            add(parts, tail, amount)
        taken, tails = draws(stretch.own, parts)
        paid = [
            (own.name, now - was) for own, now, was in zip(stretch.own, taken, taken_before, strict=True) if now != was
        ]
        over = 0
        for part, tail in zip(parts, tails, strict=True):
            delta = tail - before.get(part.tail, 0)
            if delta and part.tail < len(group_stretch.shared):
                paid.append((group_stretch.shared[part.tail].name, delta))
            else:
                over += delta
        if over:
            paid.append(("", over))
        return in_order(stretch.own, group_stretch.shared, paid)

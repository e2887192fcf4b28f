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
in later stretches ripples forward through their openings. Where the past of the grants themselves changes, the burns from
that instant on are played again (`rebuild`, `rework`).
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from ledger import grants, seats
from ledger.amounts import Amount
from ledger.contracts import ContractBrief, CustomerRow, load_contract
from ledger.grants import Credit, Holder, Left, holder_key, holder_of
from ledger.instants import DAY, FOREVER, ORIGIN, Instant
from ledger.outcome import LawBroken, Scope
from ledger.rows import Book, Kind, Row, after, instant_key, number_key, text_key
from ledger.standing import Emit, ResetAt, Standing, Transfer, next_instant, silent

# --- rows ------------------------------------------------------------------------------------------------------------


class Own(Row):
    """A grant of the scope itself at the opening of a stretch. `place`: how many of the group's grants burn before it."""

    name: str
    left: Amount
    granted: Amount
    place: int


class Part(Row):
    """The sum of the burns whose `tail` was the shared grant of this index (the number of them: no grant at all)."""

    tail: int
    amount: Amount


class Stretch(Row):
    """A scope from `start` until before `until`. Opening in L5's order, burns as sums."""

    start: Instant
    until: Instant
    group_start: Instant
    revision: int
    inside: bool
    over: Amount
    own: list[Own]
    parts: list[Part]
    frozen: list[Own]


class ScopeRow(Row):
    """A scope's number (within its account, for keys), its newest stretch, and its newest burns, a handful without a gap:
    so that a slightly late burn knows what comes after it."""

    number: int
    stretch: Stretch | None = None
    recent: list[tuple[Instant, str, Amount]] = []

    def note(self, time: Instant, id: str, amount: Amount) -> Amount | None:
        """Notes a burn. Answers the sum of the burns after it, or None if it is older than all that are noted."""
        recent = self.recent
        at = len(recent)
        later = 0
        while at and (recent[at - 1][0] > time or (recent[at - 1][0] == time and recent[at - 1][1] > id)):
            at -= 1
            later += recent[at][2]
        if not at and recent:
            return None
        recent.insert(at, (time, id, amount))
        if len(recent) > RECENT:
            del recent[0]
        return later

    def unnote(self, time: Instant, id: str) -> None:
        """A burn was taken back. Its place stays, so that an older one is not taken for the newest."""
        self.recent = [(*each[:2], 0) if (each[0], each[1]) == (time, id) else each for each in self.recent]


RECENT = 4


class Shared(Row):
    """A shared grant in a stretch of the group. `dry`: `(time, id, part)` of the burn that it could not wholly pay, and
    how much of that burn came no further than here."""

    name: str
    contract: int
    left: Amount
    granted: Amount
    drawn: Amount
    rank: grants.Rank
    dry: tuple[Instant, str, Amount] | None = None


class GroupStretch(Row):
    start: Instant
    until: Instant
    shared: list[Shared]


class GroupRow(Row):
    """The account's newest stretch; when its first and last burns were; how many scopes have a number."""

    stretch: GroupStretch
    first: Instant = FOREVER
    last: Instant = ORIGIN
    scopes: int = 0


class DebtorRow(Row):
    """A scope that ever had a carried debt."""

    holder: bytes


SCOPE = Kind("state", b"S", ScopeRow)
CLOSED_SCOPE = Kind("state", b"T", Stretch)
GROUP = Kind("state", b"X", GroupRow)
CLOSED_GROUP = Kind("state", b"Y", GroupStretch)
DEBTOR = Kind("state", b"D", DebtorRow)

#: Burns lie in eras of this many microseconds (about 13 days), so that old ones leave as whole ranges.
ERA = 1 << 40
_ERA_BIAS = 1 << 31


class Burn(NamedTuple):
    time: Instant
    id: str
    amount: Amount
    holder: bytes


#: What a carried move hands on: credits with what is left of each, and the open debt.
Handed = tuple[list[tuple[Credit, Left]], Amount]


class Seat:
    """A scope at hand while a batch is folded. Until `carried_until` its burns change what was carried to others."""

    __slots__ = ("carried_until", "holder", "key", "row", "row_key", "scope")

    def __init__(self, holder: Holder, key: bytes, row_key: bytes, row: ScopeRow) -> None:
        self.holder = holder
        self.key = key
        self.row_key = row_key
        self.row = row
        self.scope: Scope | None = None
        self.carried_until: Instant = ORIGIN


def _encode_amount(amount: Amount) -> bytes:
    return amount.to_bytes(11, "big")


# --- an account ------------------------------------------------------------------------------------------------------


class Account:
    """All that a customer has of one credit type. Reads and writes rows through a `Book`; keeps no state of its own but
    for one call. `touched` maps each scope whose past or present changed to the first instant that did."""

    def __init__(self, book: Book, customer: CustomerRow, credit_type: str) -> None:
        self.book = book
        self.customer = customer
        self.credit_type = credit_type
        if credit_type not in customer.credit_types:
            customer.credit_types.append(credit_type)
        self.number = customer.credit_types.index(credit_type)
        self._prefix = number_key(customer.number) + self.number.to_bytes(2, "big")
        self._group_key = b"X" + self._prefix
        self.look_again()
        group = book.load(GROUP, self._group_key)
        if group is None:
            group = GroupRow(GroupStretch(ORIGIN, FOREVER, []))
            group.stretch.until = self.group_until(ORIGIN, [])
            book.save(GROUP, self._group_key, group)
        self.group = group
        self.touched: dict[bytes, Instant] = {}
        #: While burns are played again: the newest that was; those after it are not there yet.
        self._reached: tuple[Instant, str] | None = None
        #: While a debtor is played again: how far its debts have to be paid anew at the least.
        self._through = ORIGIN
        self._seats: dict[tuple[int, str, str | None], Seat] = {}
        #: What carried moves handed on, until anything changes.
        self._hands: dict[tuple[Instant, int, str], Handed] = {}
        self._era = -1
        self._era_prefix = b""

    def look_again(self) -> None:
        """The customer has another contract."""
        self.briefs: dict[int, ContractBrief] = {brief.number: brief for brief in self.customer.contracts}

    # --- the questions that burning asks of what was agreed ---

    def pool_credits(self, low: Instant, high: Instant) -> list[Credit]:
        """All shared credits whose windows meet `[low, high]`, in L5's order."""
        credits = grants.of_pool(self.book, self.customer, 0, self.credit_type, low, high)
        for brief in self.customer.contracts:
            if brief.starting_at <= high and brief.ending_before > low:
                credits += grants.of_pool(self.book, self.customer, brief.number, self.credit_type, low, high)
        credits.sort(key=lambda credit: credit.rank)
        return credits

    def resets(self, low: Instant, high: Instant, contracts: Iterable[int]) -> list[ResetAt]:
        found = []
        for number in contracts:
            for reset in load_contract(self.book, self.customer.number, number).resets:
                if low < reset.time <= high:
                    found.append(ResetAt(reset.time, reset.id, number, reset.preserve_overage))
        return sorted(found)

    def _all_contracts(self) -> list[int]:
        return [0, *self.briefs]

    def seat_credits(
        self, holder: Holder, low: Instant, high: Instant, handed_before: Instant = FOREVER
    ) -> list[Credit]:
        """All credits of a seat whose windows meet `[low, high]`, in L5's order; those it was handed by a carried move
        before `handed_before` too."""
        if holder.seat_id is None:
            return []
        contract = load_contract(self.book, self.customer.number, holder.contract)
        window = (contract.starting_at, contract.ending_before())
        credits = list(grants.explicit(self.book, self.customer, holder, self.credit_type, window, low, high))
        credits += grants.seat_slices(self.book, self.customer, contract, holder, self.credit_type, low, high)
        if self.briefs[holder.contract].carries:
            moves = self._moves(holder, ORIGIN, high + 1)
            incoming = [move for move in moves if move.to_seat_id == holder.seat_id and move.at < handed_before]
            for move in incoming:
                credits += self._moved_in(holder, move, low)
            for move in moves:
                if move.from_seat_id == holder.seat_id:
                    for credit in credits:
                        # What a chain of moves hands on at one instant came before it left.
                        came_before = credit.start < move.at or (
                            credit.start == move.at and credit.start_type == "moved_in" and credit.order < move.order
                        )
                        if came_before and credit.active(move.at):
                            credit.cut(move.at, "moved_out", ("seat-change", move.edit_id))
                            credit.left_by = move.order
        credits = [credit for credit in credits if credit.start < credit.end and credit.end > low]
        credits.sort(key=lambda credit: credit.rank)
        if any(credit.origin for credit in credits):
            grants.adjust_once(credits)
        return credits

    def _moves(self, holder: Holder, low: Instant, high: Instant) -> list[seats.Move]:
        """The carried moves that touch a seat, in order."""
        assert holder.seat_id is not None
        contract = load_contract(self.book, self.customer.number, holder.contract)
        found = []
        for subscription in contract.subscriptions:
            if subscription.seat_group_key == holder.seat_group_key:
                born, dies = contract.life(subscription)
                for move in seats.moves(self.book, self.customer.number, subscription, holder.seat_id, low, high):
                    if move.carry_balance and born <= move.at < dies:
                        # Moves are counted by each subscription for itself; here they stand in one order.
                        order = (move.order << 32) | subscription.number
                        found.append(msgspec.structs.replace(move, order=order))
        return sorted(found, key=lambda move: (move.at, move.order))

    def _moved_in(self, holder: Holder, move: seats.Move, low: Instant) -> Iterator[Credit]:
        """What a carried move brought to a seat: the rest of each active grant of the other one."""
        for credit, left in self._handed(holder, move)[0]:
            brought = grants.handed_on(credit, move.from_seat_id, move.at, move.order, move.edit_id, left)
            grants.edit_handed_on(self.book, self.customer, brought, holder)
            if brought.end > low:
                yield brought

    def _handed(self, holder: Holder, move: seats.Move) -> "Handed":
        """What the giver of a carried move had to hand on, credits and open debt; what it was handed itself in a chain of
        moves of that instant is among it."""
        for of, earlier in self._moves_before(holder, move):
            self._hand(of, earlier)
        return self._hand(holder, move)

    def _moves_before(self, holder: Holder, move: seats.Move) -> list[tuple[Holder, seats.Move]]:
        """The carried moves that decide what one brings, oldest first: so that no chain of them is walked deep or twice."""
        found: dict[tuple[Instant, int, str], tuple[Holder, seats.Move]] = {}
        look = [(holder, move)]
        while look:
            of, one = look.pop()
            giver = Holder(of.contract, one.from_seat_id, of.seat_group_key)
            for earlier in self._moves(giver, ORIGIN, one.at + 1):
                place = (earlier.at, earlier.order, earlier.to_seat_id)
                if earlier.to_seat_id == giver.seat_id and place[:2] < (one.at, one.order) and place not in found:
                    found[place] = (giver, earlier)
                    look.append((giver, earlier))
        return [found[place] for place in sorted(found) if place not in self._hands]

    def _hand(self, holder: Holder, move: seats.Move) -> "Handed":
        place = (move.at, move.order, move.to_seat_id)
        known = self._hands.get(place)
        if known is not None:
            return known
        giver = Holder(holder.contract, move.from_seat_id, holder.seat_group_key)
        standing, credits = self.before_moves(giver, move.at)
        now = self._moves(giver, move.at, move.at + 1)
        # What a seat had goes with the first of its moves of an instant; with a later one only what came in between.
        before = max(
            (one.order for one in now if one.from_seat_id == giver.seat_id and one.order < move.order), default=-1
        )
        handed: list[tuple[Credit, Left]] = []
        debt = standing.over if before < 0 else 0
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None and credit.left_by == move.order and before < 0:
                handed.append((credit, left))
        for earlier in now:
            if earlier.to_seat_id == giver.seat_id and before < earlier.order < move.order:
                more, owed = self._hand(giver, earlier)
                for credit, left in more:
                    through = grants.handed_on(
                        credit, earlier.from_seat_id, move.at, earlier.order, earlier.edit_id, left
                    )
                    handed.append((through, left))
                debt += owed
        self._hands[place] = handed, debt
        return handed, debt

    def before_moves(self, holder: Holder, at: Instant) -> tuple[Standing, list[Credit]]:
        """A seat's standing at an instant after its first three steps (D2)."""
        row = self.book.load(SCOPE, self.scope_key(holder_key(self.customer, holder)))
        stretch = None if row is None else self.stretch_before(row, at)
        standing = self.closing(holder, stretch)
        low = standing.at
        credits = self.seat_credits(holder, low, at, handed_before=at)
        resets = self.resets(low, at, [holder.contract])
        standing.play(credits, resets, at, transfers=self._transfers(holder, low, at - 1), until_step=3)
        return standing, credits

    def _transfers(self, holder: Holder, low: Instant, high: Instant) -> list[Transfer]:
        """The debts that carried moves take from a seat or bring to it within `(low, high]`."""
        brief = self.briefs.get(holder.contract)
        if holder.seat_id is None or brief is None or not brief.carries or not brief.carry:
            return []
        found = []
        for move in self._moves(holder, low + 1, high + 1):
            if move.from_seat_id == holder.seat_id:
                found.append(Transfer(move.at, move.order, None, move.edit_id))
            else:
                found.append(Transfer(move.at, move.order, self._handed(holder, move)[1], move.edit_id))
        return found

    # --- boundaries ---

    def group_until(self, at: Instant, credits: list[Credit]) -> Instant:
        """The first instant strictly after `at` at which something may happen to a shared grant."""
        due = next_instant(credits, self.resets(at, FOREVER, self._all_contracts()), (), at)
        for contract in self._all_contracts():
            due = min(due, grants.next_pool_start(self.book, self.customer, contract, self.credit_type, at))
        return due

    def scope_until(self, holder: Holder, at: Instant, credits: list[Credit]) -> Instant:
        """The first instant strictly after `at` at which something may happen to a scope itself."""
        contract = load_contract(self.book, self.customer.number, holder.contract)
        window = (contract.starting_at, contract.ending_before())
        due = next_instant(credits, self.resets(at, FOREVER, [holder.contract]), (), at)
        for edge in window:
            if at < edge < due:
                due = edge
        if holder.seat_id is not None:
            due = min(
                due,
                grants.next_explicit_start(self.book, self.customer, holder, self.credit_type, window, at),
                grants.next_slice_start(self.book, self.customer, contract, holder, self.credit_type, at),
            )
            if self.briefs[holder.contract].carries:
                for move in self._moves(holder, at + 1, due):
                    due = min(due, move.at)
        return due

    # --- rows of scopes and stretches ---

    def scope_key(self, key: bytes) -> bytes:
        return b"S" + self._prefix + key

    def _scope(self, key: bytes) -> ScopeRow:
        row = self.book.load(SCOPE, self.scope_key(key))
        if row is None:
            self.group.scopes += 1
            row = ScopeRow(self.group.scopes)
            self._save_group()
            self._save_scope(key, row)
        return row

    def _save_scope(self, key: bytes, row: ScopeRow) -> None:
        self.book.save(SCOPE, self.scope_key(key), row)

    def _save_group(self) -> None:
        self.book.save(GROUP, self._group_key, self.group)

    def _closed_key(self, row: ScopeRow, start: Instant) -> bytes:
        return b"T" + self._prefix + number_key(row.number) + instant_key(start)

    def _closed_group_key(self, start: Instant) -> bytes:
        return b"Y" + self._prefix + instant_key(start)

    def _save_stretch(self, key: bytes, row: ScopeRow, stretch: Stretch) -> None:
        if stretch is row.stretch:
            self._save_scope(key, row)
        else:
            self.book.save(CLOSED_SCOPE, self._closed_key(row, stretch.start), stretch)

    def _save_group_stretch(self, stretch: GroupStretch) -> None:
        if stretch is self.group.stretch:
            self._save_group()
        else:
            self.book.save(CLOSED_GROUP, self._closed_group_key(stretch.start), stretch)

    def stretch_at(self, row: ScopeRow, at: Instant) -> Stretch | None:
        """The last stretch that starts at or before an instant."""
        if row.stretch is None or row.stretch.start <= at:
            return row.stretch
        prefix = b"T" + self._prefix + number_key(row.number)
        for _, stretch in self.book.scan_lazily(CLOSED_SCOPE, prefix, prefix + instant_key(at + 1), reverse=True):
            return stretch
        return None

    def stretch_before(self, row: ScopeRow, at: Instant) -> Stretch | None:
        return self.stretch_at(row, at - 1)

    def stretch_after(self, row: ScopeRow, start: Instant) -> Stretch | None:
        """The stretch that follows the one that starts at `start`."""
        if row.stretch is None or row.stretch.start <= start:
            return None
        prefix = b"T" + self._prefix + number_key(row.number)
        for _, stretch in self.book.scan_lazily(CLOSED_SCOPE, prefix + instant_key(start + 1), after(prefix)):
            return stretch
        return row.stretch

    def group_at(self, at: Instant) -> GroupStretch:
        stretch = self.group.stretch
        if stretch.start <= at:
            return stretch
        prefix = b"Y" + self._prefix
        for _, closed in self.book.scan_lazily(CLOSED_GROUP, prefix, prefix + instant_key(at + 1), reverse=True):
            return closed
        raise LawBroken("L15", f"no stretch of {self.credit_type} holds {at}")

    def group_after(self, start: Instant) -> GroupStretch | None:
        if self.group.stretch.start <= start:
            return None
        prefix = b"Y" + self._prefix
        for _, closed in self.book.scan_lazily(CLOSED_GROUP, prefix + instant_key(start + 1), after(prefix)):
            return closed
        return self.group.stretch

    # --- burns as rows ---

    def _index_key(self, time: Instant, id: str) -> bytes:
        return b"x" + (time // ERA + _ERA_BIAS).to_bytes(4, "big") + self._prefix + instant_key(time) + id.encode()

    def _burn_key(self, scope: int, time: Instant, id: str) -> bytes:
        return (
            b"b"
            + (time // ERA + _ERA_BIAS).to_bytes(4, "big")
            + self._prefix
            + number_key(scope)
            + instant_key(time)
            + id.encode()
        )

    def burns(self, low: Instant, high: Instant, reverse: bool = False) -> Iterator[Burn]:
        """The account's burns with `low <= time < high`, in the order of L13, or in the opposite one."""
        low, high = max(low, self.group.first), min(high, self.group.last + 1)
        reached = self._reached
        if reached is not None:
            high = min(high, reached[0] + 1)
        if low >= high:
            return
        eras = range(low // ERA, (high - 1) // ERA + 1)
        for era in reversed(eras) if reverse else eras:
            prefix = b"x" + (era + _ERA_BIAS).to_bytes(4, "big") + self._prefix
            for key, value in self.book.rows.scan(
                "trail", prefix + instant_key(low), prefix + instant_key(high), reverse
            ):
                time, id = int.from_bytes(key[11:19], "big") - (1 << 63), key[19:].decode()
                if reached is None or (time, id) <= reached:
                    yield Burn(time, id, int.from_bytes(value[:11], "big"), value[11:])

    def burns_of(self, number: int, low: Instant, high: Instant) -> Iterator[tuple[Instant, str, Amount]]:
        """One scope's burns with `low <= time < high`, in order."""
        low, high = max(low, self.group.first), min(high, self.group.last + 1)
        if low >= high:
            return
        for era in range(low // ERA, (high - 1) // ERA + 1):
            prefix = b"b" + (era + _ERA_BIAS).to_bytes(4, "big") + self._prefix + number_key(number)
            for key, value in self.book.rows.scan("trail", prefix + instant_key(low), prefix + instant_key(high)):
                yield int.from_bytes(key[15:23], "big") - (1 << 63), key[23:].decode(), int.from_bytes(value, "big")

    # --- burning ---

    def burn(self, holder: Holder, time: Instant, id: str, amount: Amount) -> list[tuple[str, Amount]]:
        """Folds one burn. Answers what each grant paid of it as of now, and the overage under the name ""."""
        key = holder_key(self.customer, holder)
        row = self._scope(key)
        rows = self.book.rows
        rows.put("trail", self._burn_key(row.number, time, id), _encode_amount(amount))
        rows.put("trail", self._index_key(time, id), _encode_amount(amount) + key)
        group = self.group
        if time < group.first or time > group.last:
            group.first = min(group.first, time)
            group.last = max(group.last, time)
            self._save_group()
        stretch, group_stretch, paid = self._apply(key, holder, row, Burn(time, id, amount, key))
        newest = row.note(time, id, amount) == 0
        alone = self._settled(group_stretch) and self._last_of(row, stretch, group_stretch)
        if not alone or self._heirs(holder, time):
            self._ripple(group_stretch, {key: stretch.start})
        elif newest:
            return _in_order(stretch.own, group_stretch.shared, paid)
        return self.paid_by(Burn(time, id, amount, key), holder)

    def burn_quickly(
        self, brief: ContractBrief, seat_id: str | None, seat_group_key: str, time: Instant, id: str, amount: Amount
    ) -> tuple["Seat", list[tuple[str, Amount]]] | None:
        """What `burn` does, for the usual burn: one that falls into the newest stretches, behind every point at which a
        shared grant ran dry, and is paid without making one run dry. None, and nothing done, for any other."""
        seat = self._seats.get((brief.number, seat_group_key, seat_id))
        if seat is None:
            seat = self._find_seat(brief, seat_id, seat_group_key)
            if seat is None:
                return None
        if time < seat.carried_until:
            return None
        row = seat.row
        stretch = row.stretch
        group = self.group.stretch
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
        if recent and (recent[-1][0] > time or (recent[-1][0] == time and recent[-1][1] > id)):
            older = (recent[0][0], recent[0][1]) > (time, id)
            later = 0 if older else sum([each[2] for each in recent if (each[0], each[1]) > (time, id)])
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
                return None  # who paid it depends on how much came after it, and that is not at hand
            take = (high if high < reach else reach) - (low if low > before else before)
            if take > 0:
                paid.append((mine.name, take))
            if has <= reach:
                break
        beyond = has - (had if had > reach else reach)
        if beyond > 0:
            if tail < len(shared):
                grant = shared[tail]
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
        row.note(time, id, amount)
        group_row = self.group
        group_row.last = max(group_row.last, time)
        group_row.first = min(group_row.first, time)
        era = time // ERA
        if era != self._era:
            self._era = era
            self._era_prefix = (era + _ERA_BIAS).to_bytes(4, "big") + self._prefix
        place = (time + (1 << 63)).to_bytes(8, "big") + id.encode()
        put = self.book.rows.put
        as_bytes = amount.to_bytes(11, "big")
        put("trail", b"b" + self._era_prefix + row.number.to_bytes(4, "big") + place, as_bytes)
        put("trail", b"x" + self._era_prefix + place, as_bytes + seat.key)
        save = self.book.save
        save(SCOPE, seat.row_key, row)
        save(GROUP, self._group_key, group_row)
        if brief.carry and tail == len(shared) and beyond > 0:
            self._note_debt(seat.key, seat.holder, stretch, group)
        return seat, paid

    def _find_seat(self, brief: ContractBrief, seat_id: str | None, seat_group_key: str) -> "Seat | None":
        if seat_id is not None and seat_group_key not in self.customer.seat_group_keys:
            return None
        holder = Holder(brief.number) if seat_id is None else Holder(brief.number, seat_id, seat_group_key)
        key = holder_key(self.customer, holder)
        row = self.book.load(SCOPE, self.scope_key(key))
        if row is None:
            return None
        seat = self._seats[brief.number, seat_group_key, seat_id] = Seat(holder, key, self.scope_key(key), row)
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
        self._touch(burn.holder, burn.time)
        if stretch.parts:
            self._save_stretch(burn.holder, row, stretch)
        start = stretch.start
        self._ripple(group_stretch, {burn.holder: start})
        if not stretch.parts:
            self._forget_stretch(burn.holder, holder, row, stretch)

    def _forget_stretch(self, key: bytes, holder: Holder, row: ScopeRow, stretch: Stretch) -> None:
        """A stretch without burns says nothing that its predecessor does not; a debtor's opening may."""
        if self.is_debtor(key, holder):
            self._save_stretch(key, row, stretch)
            return
        if stretch is row.stretch:
            row.stretch = self.stretch_before(row, stretch.start)
            if row.stretch is not None:
                self.book.drop(CLOSED_SCOPE, self._closed_key(row, row.stretch.start))
            self._save_scope(key, row)
        else:
            self.book.drop(CLOSED_SCOPE, self._closed_key(row, stretch.start))

    def _apply(
        self, key: bytes, holder: Holder, row: ScopeRow, burn: Burn
    ) -> tuple[Stretch, GroupStretch, list[tuple[str, Amount]]]:
        """Puts one burn into the stretches that hold its instant, opening them if need be."""
        group_stretch = self._group_for(burn.time)
        stretch = self._stretch_for(key, holder, row, burn.time, group_stretch)
        paid = self._place(stretch, group_stretch, holder, burn, 1)
        self._save_stretch(key, row, stretch)
        self._touch(key, burn.time)
        self._note_debt(key, holder, stretch, group_stretch)
        return stretch, group_stretch, paid

    def _touch(self, key: bytes, since: Instant) -> None:
        before = self.touched.get(key)
        if before is None or since < before:
            self.touched[key] = since

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

    def closing(self, holder: Holder, stretch: Stretch | None) -> Standing:
        """What a scope has at the end of a stretch."""
        brief = self.briefs[holder.contract]
        standing = Standing(carry=brief.carry)
        if stretch is None:
            return standing
        standing.at = stretch.start
        standing.over = stretch.over
        taken, tails = draws(stretch.own, stretch.parts)
        for own, took in zip(stretch.own, taken, strict=True):
            standing.left[own.name] = Left(own.left - took, own.granted)
        for own in stretch.frozen:
            standing.frozen[own.name] = Left(own.left, own.granted)
        if stretch.inside or not brief.carry:
            standing.over += self._overage(stretch, tails)
        return standing

    def _overage(self, stretch: Stretch, tails: list[Amount]) -> Amount:
        """Only the last part can end at no grant at all."""
        if stretch.parts and stretch.parts[-1].tail >= self._no_tail(stretch):
            return tails[-1]
        return 0

    def _no_tail(self, stretch: Stretch) -> int:
        return len(self.group_at(stretch.group_start).shared)

    def _open(self, holder: Holder, previous: Stretch | None, at: Instant, group_stretch: GroupStretch) -> Stretch:
        """The stretch of a scope that holds `at`: what its previous one left, carried on through what happened since."""
        standing = self.closing(holder, previous)
        bottom = ORIGIN if previous is None else previous.start
        start, credits = self.play_scope(holder, standing, bottom, at)
        return self._stretch(holder, standing, max(start, group_stretch.start), at, credits, group_stretch)

    def play_scope(
        self, holder: Holder, standing: Standing, bottom: Instant, at: Instant, emit: Emit = silent
    ) -> tuple[Instant, list[Credit]]:
        """Carries a scope's standing to `at`; answers the last instant at which anything happened, and the credits."""
        edges = [edge for edge in self._window(holder.contract) if edge <= at]
        begun = standing.copy()
        transfers = self._transfers(holder, bottom, at)
        owing = begun.carry and (begun.over != 0 or bool(transfers))
        for low in self._lows(bottom, at, exact=emit is not silent or owing):
            standing.become(begun)
            credits = self.seat_credits(holder, low, at)
            resets = self.resets(bottom, at, [holder.contract])
            last = standing.play(credits, resets, at, transfers=transfers, emit=emit)
            if last >= low:
                break
        return max([bottom, last, *edges]), credits

    def _lows(self, bottom: Instant, at: Instant, *, exact: bool) -> Iterator[Instant]:
        """Where a look back for the last boundary before `at` begins: what ended long ago is only derived if need be."""
        if not exact:
            for span in (DAY, 40 * DAY):
                if at - span > bottom:
                    yield at - span
        yield bottom

    def _window(self, contract: int) -> tuple[Instant, Instant]:
        brief = self.briefs[contract]
        return brief.starting_at, brief.ending_before

    def _stretch(
        self,
        holder: Holder,
        standing: Standing,
        start: Instant,
        at: Instant,
        credits: list[Credit],
        group_stretch: GroupStretch,
    ) -> Stretch:
        window = self._window(holder.contract)
        ranks = [shared.rank for shared in group_stretch.shared]
        own = []
        place = 0
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None:
                while place < len(ranks) and ranks[place] < credit.rank:
                    place += 1
                own.append(Own(credit.name, left.amount, left.granted, place))
        return Stretch(
            start=start,
            until=self.scope_until(holder, at, credits),
            group_start=group_stretch.start,
            revision=self.briefs[holder.contract].revision,
            inside=window[0] <= at < window[1],
            over=standing.over,
            own=own,
            parts=[],
            frozen=[Own(name, left.amount, left.granted, 0) for name, left in sorted(standing.frozen.items())],
        )

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
        return self._shift(stretch, group_stretch, [(tail, sign * amount) for tail, amount in portions])

    def _shift(
        self, stretch: Stretch, group_stretch: GroupStretch, changes: list[tuple[int, Amount]]
    ) -> list[tuple[str, Amount]]:
        """Changes parts of a scope, and with them the draws on the shared grants. Answers who paid the difference."""
        self._hands.clear()
        taken_before, tails_before = draws(stretch.own, stretch.parts)
        before = {part.tail: tail for part, tail in zip(stretch.parts, tails_before, strict=True)}
        for tail, amount in changes:
            _add(stretch.parts, tail, amount)
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
                    paid.append((shared[part.tail].name, delta))
                else:
                    over += delta
        for index, amount in before.items():
            if amount:
                if index < len(shared):
                    shared[index].drawn -= amount
                    paid.append((shared[index].name, -amount))
                else:
                    over -= amount
        self._save_group_stretch(group_stretch)
        if over:
            paid.append(("", over))
        if sum(amount for _, amount in paid) != sum(amount for _, amount in changes):
            raise LawBroken("L14", f"{changes} were asked for, {paid} accounted for")
        return paid

    # --- the group moves on ---

    def group_closing(self, stretch: GroupStretch) -> Standing:
        standing = Standing(carry=False, at=stretch.start)
        for shared in stretch.shared:
            standing.left[shared.name] = Left(shared.left - shared.drawn, shared.granted)
        return standing

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

    def play_group(self, standing: Standing, bottom: Instant, to: Instant, emit: Emit = silent) -> GroupStretch:
        begun = standing.copy()
        for low in self._lows(bottom, to, exact=emit is not silent):
            standing.become(begun)
            credits = self.pool_credits(low, to)
            resets = self.resets(bottom, to, self._all_contracts())
            last = standing.play(credits, resets, to, emit=emit)
            if last >= low:
                break
        return self._group_stretch(standing, max(bottom, last), to, credits)

    def _group_stretch(self, standing: Standing, start: Instant, at: Instant, credits: list[Credit]) -> GroupStretch:
        shared = []
        for credit in credits:
            left = standing.left.get(credit.name)
            if left is not None:
                dry = (start, "", 0) if not left.amount else None
                shared.append(Shared(credit.name, credit.contract, left.amount, left.granted, 0, credit.rank, dry))
        return GroupStretch(start, self.group_until(at, credits), shared)

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

    # --- settling ---

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
        self._shift(stretch, group_stretch, changes)
        self._save_stretch(burn.holder, row, stretch)
        self._note_debt(burn.holder, holder_of(self.customer, burn.holder), stretch, group_stretch)
        touched[burn.holder] = min(touched.get(burn.holder, FOREVER), stretch.start)
        self._touch(burn.holder, burn.time)

    def _portions_of(self, burn: Burn, group_stretch: GroupStretch) -> dict[int, Amount]:
        holder = holder_of(self.customer, burn.holder)
        row = self._scope(burn.holder)
        stretch = self.stretch_at(row, burn.time)
        assert stretch is not None
        return dict(self._portions(stretch, group_stretch, holder.contract, burn))

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
        self._shift(stretch, group_stretch, [(i, portion)])
        excess = shared.drawn - shared.left
        self._shift(stretch, group_stretch, [(i, -portion)])
        return portion - excess

    def _pull(self, group_stretch: GroupStretch, i: int, touched: dict[bytes, Instant]) -> None:
        """A shared grant that ran dry has something left: the burns that passed it by come back to it, in order."""
        shared = group_stretch.shared[i]
        dry = shared.dry
        assert dry is not None
        for burn in self.burns(dry[0], self._end_of(group_stretch)):
            if (burn.time, burn.id) < (dry[0], dry[1]) or burn.time < group_stretch.start:
                continue
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

    def _ripple(self, group_stretch: GroupStretch, dirty: dict[bytes, Instant]) -> None:
        """Settles a stretch of the group and carries on what became different, through all later ones, until nothing does.
        `dirty` maps each scope that changed to the start of its first changed stretch."""
        while True:
            while dirty or not self._settled(group_stretch):
                end = self._end_of(group_stretch)
                waiting = self._follow(group_stretch, end, dirty)
                if self._settled(group_stretch):
                    dirty = waiting
                    break
                moved: dict[bytes, Instant] = {}
                self._settle(group_stretch, moved)
                self._save_group_stretch(group_stretch)
                dirty = waiting
                for key, start in moved.items():
                    dirty[key] = min(start, dirty.get(key, FOREVER))
            following = self.group_after(group_stretch.start)
            if following is None:
                return
            changed = self._reopen_group(group_stretch, following, dirty)
            if not changed and not dirty and following.start > self._through:
                return
            group_stretch = following

    def _follow(self, group_stretch: GroupStretch, end: Instant, dirty: dict[bytes, Instant]) -> dict[bytes, Instant]:
        """Opens anew the stretches that follow changed ones, as far as this stretch of the group goes. Answers the scopes
        whose changes reach beyond it."""
        beyond: dict[bytes, Instant] = {}
        # In the order of time: who carries on is seen to before who it is carried to, and nobody twice for one move.
        queue = [(start, key, start) for key, start in dirty.items()]
        heapify(queue)
        seen: set[tuple[bytes, Instant]] = set()
        while queue:
            since, key, start = heappop(queue)
            holder = holder_of(self.customer, key)
            row = self._scope(key)
            for heir, at in self._heirs(holder, max(since, ORIGIN + 1) - 1):
                if at < group_stretch.start or (heir, at) in seen:
                    continue  # what was carried before this stretch was seen to there
                seen.add((heir, at))
                if at < end:
                    heir_row = self.book.load(SCOPE, self.scope_key(heir))
                    before = None if heir_row is None else self.stretch_before(heir_row, at)
                    if (
                        heir_row is not None
                        and self.stretch_after(heir_row, ORIGIN - 1 if before is None else before.start) is not None
                    ):
                        heappush(queue, (at, heir, ORIGIN - 1 if before is None else before.start))
                else:
                    beyond[key] = start
            following = self.stretch_after(row, max(start, group_stretch.start - 1))
            if following is None:
                continue
            if following.start >= end:
                beyond[key] = start
                continue
            previous = self.stretch_before(row, following.start)
            if self._reopen(key, holder, row, previous, following, group_stretch):
                heappush(queue, (max(since, following.start), key, following.start))
        return beyond

    def _heirs(self, holder: Holder, since: Instant) -> list[tuple[bytes, Instant]]:
        """The seats that a seat's balance was carried to after `since`, and when."""
        brief = self.briefs[holder.contract]
        if not brief.carries or holder.seat_id is None:
            return []
        return [
            (holder_key(self.customer, Holder(holder.contract, move.to_seat_id, holder.seat_group_key)), move.at)
            for move in self._moves(holder, max(since, ORIGIN) + 1, FOREVER)
            if move.from_seat_id == holder.seat_id
        ]

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
        if stretch.start == group_stretch.start and self.is_debtor(key, holder):
            return False  # opened with the group, in the debtors' order
        fresh = self._open(holder, previous, stretch.start, group_stretch)
        if fresh.own == stretch.own and fresh.over == stretch.over and fresh.frozen == stretch.frozen:
            return False
        self._put_opening(key, row, stretch, fresh, group_stretch)
        return True

    def _put_opening(
        self, key: bytes, row: ScopeRow, stretch: Stretch, fresh: Stretch, group_stretch: GroupStretch
    ) -> None:
        parts = [(part.tail, part.amount) for part in stretch.parts]
        self._shift(stretch, group_stretch, [(tail, -amount) for tail, amount in parts])
        stretch.own, stretch.over, stretch.frozen = fresh.own, fresh.over, fresh.frozen
        self._shift(stretch, group_stretch, parts)
        self._save_stretch(key, row, stretch)
        self._touch(key, stretch.start)

    def is_debtor(self, key: bytes, holder: Holder) -> bool:
        return self.briefs[holder.contract].carry and self.book.load(DEBTOR, self._debtor_key(holder)) is not None

    def _reopen_group(self, previous: GroupStretch, stretch: GroupStretch, dirty: dict[bytes, Instant]) -> bool:
        """A stretch of the group whose past changed: new openings for its grants, the same draws."""
        fresh = self.play_group(self.group_closing(previous), previous.start, stretch.start)
        debtors = self.debtors() if self._any_debtors() else []
        openings: list[tuple[bytes, ScopeRow, Stretch]] = []
        for key in debtors:
            holder = holder_of(self.customer, key)
            row = self._scope(key)
            opened = self.open_paying(holder, self.stretch_before(row, stretch.start), fresh)
            if opened is not None:
                openings.append((key, row, opened))
        changed = False
        for old, new in zip(stretch.shared, fresh.shared, strict=True):
            if old.name != new.name:
                raise LawBroken("L15", f"{old.name} became {new.name} in a changed past")
            if old.left != new.left or old.granted != new.granted:
                changed = True
                old.left, old.granted = new.left, new.granted
                if not old.left and not old.drawn and old.dry is None:
                    old.dry = new.dry
        if changed:
            self._save_group_stretch(stretch)
        for key, row, opened in openings:
            # What is different reaches on from here; what is not has been told as far as it goes.
            existing = self.stretch_at(row, stretch.start)
            if existing is None or existing.start != stretch.start:
                self._insert_stretch(key, row, opened)
                dirty[key] = stretch.start
            elif existing.own != opened.own or existing.over != opened.over or existing.frozen != opened.frozen:
                self._put_opening(key, row, existing, opened, stretch)
                dirty[key] = stretch.start
            else:
                dirty.pop(key, None)
        return changed

    def _insert_stretch(self, key: bytes, row: ScopeRow, stretch: Stretch) -> None:
        if row.stretch is None:
            row.stretch = stretch
        elif stretch.start > row.stretch.start:
            self.book.save(CLOSED_SCOPE, self._closed_key(row, row.stretch.start), row.stretch)
            row.stretch = stretch
        else:
            self.book.save(CLOSED_SCOPE, self._closed_key(row, stretch.start), stretch)
        self._save_scope(key, row)

    # --- what was agreed changed ---

    def rebuild(self, since: Instant) -> None:
        """The shared grants, or those of all seats of a contract, changed from `since` on: the burns from then on are played
        again. Without such burns this costs nothing."""
        self._hands.clear()
        self._seats.clear()
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

    def _group_before(self, at: Instant) -> GroupStretch | None:
        """The last stretch of the group that starts strictly before an instant."""
        if self.group.stretch.start < at:
            return self.group.stretch
        prefix = b"Y" + self._prefix
        for _, closed in self.book.scan_lazily(CLOSED_GROUP, prefix, prefix + instant_key(at), reverse=True):
            return closed
        return None

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
            self._shift(stretch, base, portions)
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
        earliest = None
        dirty: dict[bytes, Instant] = {}
        for holder, since in sorted(holders.items(), key=lambda item: item[1]):
            key = holder_key(self.customer, holder)
            row = self.book.load(SCOPE, self.scope_key(key))
            if row is None or row.stretch is None:
                continue
            again = list(self.burns_of(row.number, since, FOREVER))
            if not again and row.stretch.start < since and not self.is_debtor(key, holder):
                row.stretch.revision = -1
                self._save_scope(key, row)
                continue
            self._touch(key, since)
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
            self._shift(stretch, group_stretch, [(part.tail, -part.amount) for part in stretch.parts])
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

    # --- who paid ---

    def paid_by(self, wanted: Burn, holder: Holder) -> list[tuple[str, Amount]]:
        """What each grant paid of a burn, as of all that is known now; the overage under the name ""."""
        group_stretch = self.group_at(wanted.time)
        row = self._scope(wanted.holder)
        stretch = self.stretch_at(row, wanted.time)
        assert stretch is not None
        # What came before it is what is there less what comes after: late burns are rarely very late.
        parts = [Part(part.tail, part.amount) for part in stretch.parts]
        alone = self._alone(stretch, group_stretch, holder, wanted)
        if alone is not None:
            return alone
        following = self.stretch_after(row, stretch.start)
        end = FOREVER if following is None else following.start
        before: list[Part] = []
        earlier = self.burns_of(row.number, stretch.start, wanted.time + 1)
        later = self.burns_of(row.number, wanted.time, end)
        # From both ends at once: a late burn is near one of them.
        while True:
            one = next(earlier, None)
            if one is None or (one[0], one[1]) >= (wanted.time, wanted.id):
                return self.attribute(stretch, group_stretch, holder, wanted, before)
            for tail, portion in self._portions(stretch, group_stretch, holder.contract, Burn(*one, wanted.holder)):
                _add(before, tail, portion)
            other = next(later, None)
            while other is not None and (other[0], other[1]) < (wanted.time, wanted.id):
                other = next(later, None)
            if other is None:
                break
            for tail, portion in self._portions(stretch, group_stretch, holder.contract, Burn(*other, wanted.holder)):
                _add(parts, tail, -portion)
        return self.attribute(stretch, group_stretch, holder, wanted, parts)

    def _alone(
        self, stretch: Stretch, group_stretch: GroupStretch, holder: Holder, burn: Burn
    ) -> list[tuple[str, Amount]] | None:
        """Who paid a burn, where one grant pays all that its part holds, so that it does not matter what came before it."""
        portions = self._portions(stretch, group_stretch, holder.contract, burn)
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
        for tail, amount in self._portions(stretch, group_stretch, holder.contract, burn):
            _add(parts, tail, amount)
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
        return _in_order(stretch.own, group_stretch.shared, paid)


def _in_order(own: list[Own], shared: list[Shared], paid: list[tuple[str, Amount]]) -> list[tuple[str, Amount]]:
    """Who paid, in L5's order, the overage last."""
    if len(paid) < 2:
        return paid
    order = {each.name: (each.place, 0, i) for i, each in enumerate(own)}
    order |= {each.name: (i, 1, 0) for i, each in enumerate(shared)}
    return sorted(paid, key=lambda pair: order.get(pair[0], (len(shared), 1, 0)))


def draws(own: list[Own], parts: list[Part]) -> tuple[list[Amount], list[Amount]]:
    """What the burns of a stretch took of each of the scope's own grants, and what each part asked of its tail.

    A part draws, in order, on the own grants that burn before its tail, as far as earlier parts left anything."""
    taken = [0] * len(own)
    tails = []
    i = 0
    for part in parts:
        rest = part.amount
        tail = part.tail
        while rest and i < len(own) and own[i].place <= tail:
            room = own[i].left - taken[i]
            if room > rest:
                taken[i] += rest
                rest = 0
                break
            taken[i] += room
            rest -= room
            i += 1
        tails.append(rest)
    return taken, tails


def _add(parts: list[Part], tail: int, amount: Amount) -> None:
    for i, part in enumerate(parts):
        if part.tail == tail:
            part.amount += amount
            if not part.amount:
                del parts[i]
            return
        if part.tail > tail:
            if amount:
                parts.insert(i, Part(tail, amount))
            return
    if amount:
        parts.append(Part(tail, amount))

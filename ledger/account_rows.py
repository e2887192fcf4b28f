"""Where an account keeps its rows: scopes and their stretches, the group's stretches, and burns in the order of time.

Burns that have aged (ledger.ageing) lie under the keys that they had, but for the era, in the other table.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.amounts import Amount
from ledger.contracts import ContractBrief, CustomerRow
from ledger.grants import Holder
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.outcome import LawBroken, Scope
from ledger.rows import Book, Table, after, instant_key, instant_of, number_key
from ledger.stretches import (
    AGED,
    AGED_KEY,
    CLOSED_GROUP,
    CLOSED_SCOPE,
    GROUP,
    SCOPE,
    GroupRow,
    GroupStretch,
    Part,
    ScopeRow,
    Shared,
    Stretch,
)

#: Burns lie in eras of this many microseconds (about 13 days), so that old ones leave as whole ranges.
ERA = 1 << 40
ERA_BIAS = 1 << 31


class Burn(NamedTuple):
    time: Instant
    id: str
    amount: Amount
    holder: bytes


class Lane:
    """How the next burns of a scope go, until anything but them turns to the account (`turn`): one that is newer than all
    before it, and before `until`, adds to `part`, and `payer` alone pays it, as long as that sum is within `limit` or, where
    `shared` pays, that has enough."""

    __slots__ = ("limit", "part", "payer", "pool", "revision", "shared", "turn", "until")

    def __init__(
        self, turn: int, revision: int, until: Instant, part: Part, payer: str, limit: Amount, shared: Shared | None
    ) -> None:
        self.turn = turn
        self.revision = revision
        self.until = until
        self.part = part
        self.payer = payer
        self.limit = limit
        self.shared = shared
        self.pool: int | None = None if shared is None else shared.contract


class Seat:
    """A scope at hand. Until `carried_until` its burns change what was carried to others."""

    __slots__ = ("carried_until", "holder", "key", "lane", "row", "row_key", "scope")

    def __init__(self, holder: Holder, key: bytes, row_key: bytes, row: ScopeRow) -> None:
        self.holder = holder
        self.key = key
        self.row_key = row_key
        self.row = row
        self.scope: Scope | None = None
        self.lane: Lane | None = None
        self.carried_until: Instant = ORIGIN


def era_key(time: Instant) -> bytes:
    return (time // ERA + ERA_BIAS).to_bytes(4, "big")


def encode_amount(amount: Amount) -> bytes:
    return amount.to_bytes(11, "big")


def place_key(time: Instant, id: str) -> bytes:
    """Where a burn stands among others: in the order of L13."""
    return instant_key(time) + id.encode()


#: Behind all places.
NOWHERE = b"\xff" * 9


def place_of(key: bytes) -> tuple[Instant, str]:
    """The time and the id whose `place_key` this is."""
    return instant_of(key[:8]), key[8:].decode()


def account_key(customer: int, number: int) -> bytes:
    return b"X" + number_key(customer) + number.to_bytes(2, "big")


def newest_burn(book: Book, customer: CustomerRow) -> Instant:
    """When a customer burned last, of whatever credit type; ORIGIN: never."""
    groups = [book.load(GROUP, account_key(customer.number, number)) for number in range(len(customer.credit_types))]
    return max((group.last for group in groups if group is not None), default=ORIGIN)


class Shelf:
    """Where the rows of one account lie: scopes and their stretches, the group's stretches, burns in the order of time."""

    def __init__(self, book: Book, customer: int, number: int) -> None:
        self.book = book
        self._group_key = account_key(customer, number)
        self._prefix = self._group_key[1:]
        group = book.load(GROUP, self._group_key)
        self._is_new = group is None
        self.group = GroupRow(GroupStretch(ORIGIN, FOREVER, [])) if group is None else group
        #: Before when, by the clock, no burn has a row of its own.
        self.horizon: Instant = ORIGIN
        #: While burns are played again: the newest that was; those after it are not there yet.
        self._reached: tuple[Instant, str] | None = None

    @property
    def single_from(self) -> Instant:
        """From when on every burn has a row of its own."""
        aged = self.book.load(AGED, AGED_KEY)
        return max(self.group.aged, ORIGIN if aged is None else aged.until)

    # --- scopes and stretches ---

    def scope_key(self, key: bytes) -> bytes:
        return b"S" + self._prefix + key

    def _closed_key(self, row: ScopeRow, start: Instant) -> bytes:
        return b"T" + self._prefix + number_key(row.number) + instant_key(start)

    def _closed_group_key(self, start: Instant) -> bytes:
        return b"Y" + self._prefix + instant_key(start)

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
        raise LawBroken("L15", f"no stretch of the group holds {at}")

    def group_after(self, start: Instant) -> GroupStretch | None:
        if self.group.stretch.start <= start:
            return None
        prefix = b"Y" + self._prefix
        for _, closed in self.book.scan_lazily(CLOSED_GROUP, prefix + instant_key(start + 1), after(prefix)):
            return closed
        return self.group.stretch

    def group_before(self, at: Instant) -> GroupStretch | None:
        """The last stretch of the group that starts strictly before an instant."""
        if self.group.stretch.start < at:
            return self.group.stretch
        prefix = b"Y" + self._prefix
        for _, closed in self.book.scan_lazily(CLOSED_GROUP, prefix, prefix + instant_key(at), reverse=True):
            return closed
        return None

    def _closed_since(self, since: Instant) -> list[GroupStretch]:
        """The closed stretches of the group that hold an instant or come later."""
        if self.group.stretch.start < since:
            return []
        base = self.group_before(since)
        prefix = b"Y" + self._prefix
        low = prefix + instant_key(ORIGIN if base is None else base.start)
        return [closed for _, closed in self.book.scan(CLOSED_GROUP, low, after(prefix))]

    # --- where burns end ---

    def portions(
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

    def tail_after(
        self, stretch: Stretch, group_stretch: GroupStretch, contract: int, place: bytes
    ) -> tuple[int, bytes]:
        """Where the burns that follow a `place_key` end, and the first place from which on they may not."""
        shared = group_stretch.shared
        if not stretch.inside:
            return len(shared) + 1, NOWHERE
        for i, grant in enumerate(shared):
            if grant.contract in (0, contract):
                if grant.dry is None:
                    return i, NOWHERE
                limit = place_key(grant.dry[0], grant.dry[1])
                if limit > place:
                    return i, limit
        return len(shared), NOWHERE

    # --- burns as rows ---

    def _index_key(self, time: Instant, id: str) -> bytes:
        return b"x" + era_key(time) + self._prefix + place_key(time, id)

    def _burn_key(self, scope: int, time: Instant, id: str) -> bytes:
        return b"b" + era_key(time) + self._prefix + number_key(scope) + place_key(time, id)

    def _parts_of(self, tag: bytes, low: Instant, high: Instant) -> list[tuple[Table, bytes, Instant]]:
        """Where the burns from `low` until before `high` lie, in the order of time: table, prefix, and until when they do."""
        found: list[tuple[Table, bytes, Instant]] = []
        if low < self.single_from:
            # What ages just now lies there too, and is not to be read yet.
            found.append(("state", tag + self._prefix, self.single_from))
            low = self.single_from
        if low < high:
            eras = range(low // ERA, (high - 1) // ERA + 1)
            found += [("trail", tag + era_key(era * ERA) + self._prefix, FOREVER) for era in eras]
        return found

    def burns(self, low: Instant, high: Instant, reverse: bool = False) -> Iterator[Burn]:
        """The account's burns with `low <= time < high`, in the order of L13, or in the opposite one."""
        low, high = max(low, self.group.first), min(high, self.group.last + 1)
        reached = self._reached
        if reached is not None:
            high = min(high, reached[0] + 1)
        if low >= high:
            return
        parts = self._parts_of(b"x", low, high)
        for table, prefix, until in reversed(parts) if reverse else parts:
            at = len(prefix)
            for key, value in self.book.rows.scan(
                table, prefix + instant_key(low), prefix + instant_key(min(high, until)), reverse
            ):
                time, id = place_of(key[at:])
                self.book.breathe()
                if reached is None or (time, id) <= reached:
                    yield Burn(time, id, int.from_bytes(value[:11], "big"), value[11:])

    def burn_rows(
        self, number: int, low: tuple[Instant, str], high: tuple[Instant, str]
    ) -> Iterator[tuple[bytes, bytes]]:
        """One scope's burns with `low <= (time, id) < high` in order, as they are kept: `place_key`, and the amount in the first
        11 bytes."""
        first, last = max(low, (self.group.first, "")), min(high, (self.group.last + 1, ""))
        if first >= last:
            return
        start, end = place_key(*first), place_key(*last)
        for table, of_all, until in self._parts_of(b"b", first[0], last[0] + 1):
            prefix = of_all + number_key(number)
            at = len(prefix)
            for key, value in self.book.rows.scan(table, prefix + start, prefix + min(end, instant_key(until))):
                yield key[at:], value

    def put_aged(
        self, number: int, time: Instant, id: str, amount: Amount, holder: bytes, first: Instant | None
    ) -> None:
        """Keeps a burn that has aged; or the last one of several, with the sum of all, and when the `first` was."""
        rows, place = self.book.rows, place_key(time, id)
        since = b"" if first is None else instant_key(first)
        rows.put("state", b"b" + self._prefix + number_key(number) + place, encode_amount(amount) + since)
        rows.put("state", b"x" + self._prefix + place, encode_amount(amount) + holder)

    def holds(self, whose: bytes) -> bool:
        """Whether burns are of this account: by era, account and scope, as in their keys."""
        return whose[4:].startswith(self._prefix)

    def spans(self, until: Instant) -> list[tuple[bytes, bytes]]:
        """Where the burns that have not aged lie in the trail, before the end of an era: from which key, until before which."""
        # Before anything aged, that would be every era since the first year.
        low = max(self.single_from, self.group.first)
        prefixes = [prefix for table, prefix, _ in self._parts_of(b"b", low, until) if table == "trail"]
        return [(prefix, after(prefix)) for prefix in prefixes]

    def aged(self, until: Instant) -> None:
        """All burns before then have."""
        self.group.aged = until
        self.book.save(GROUP, self._group_key, self.group)

    def first_of(self, burn: Burn) -> Instant | None:
        """When the first of the burns was that are kept as this one; None where it is only itself."""
        row = None if burn.time >= self.single_from else self.book.load(SCOPE, self.scope_key(burn.holder))
        if row is None:
            return None
        key = b"b" + self._prefix + number_key(row.number) + place_key(burn.time, burn.id)
        value = self.book.rows.get("state", key)
        return None if value is None or len(value) == 11 else instant_of(value[11:])

    def burns_of(self, number: int, low: Instant, high: Instant) -> Iterator[tuple[Instant, str, Amount]]:
        """One scope's burns with `low <= time < high`, in order."""
        for place, value in self.burn_rows(number, (low, ""), (high, "")):
            yield *place_of(place), int.from_bytes(value[:11], "big")


class AccountRows(Shelf):
    """The rows of one account: all that a customer has of one credit type."""

    def __init__(self, book: Book, customer: CustomerRow, credit_type: str) -> None:
        self.customer = customer
        self.credit_type = credit_type
        if credit_type not in customer.credit_types:
            customer.credit_types.append(credit_type)
        self.number = customer.credit_types.index(credit_type)
        super().__init__(book, customer.number, self.number)
        self.look_again()
        #: What became different, and from when on: scopes, all seats of a contract or of one of its subscriptions (0: of
        #: the contract), and whatever a changed debt reaches.
        self._touched: dict[bytes, Instant] = {}
        self._touched_seats: dict[tuple[int, int], Instant] = {}
        self._touched_debts: Instant = FOREVER
        #: What shared grants paid more or less than before, by the instant from which on.
        self._touched_shared: dict[tuple[str, Instant], Amount] = {}
        #: The scopes of the pools at hand, by contract (0: the customer's).
        self.pools: dict[int, Scope] = {}
        #: The scopes at hand, by contract, seat group key and seat, until grants change.
        self._seats: dict[tuple[int, str, str | None], Seat] = {}
        #: How often anybody turned to it for anything but a usual burn.
        self.turn = 0
        #: The keys of the rows that stay in the book as long as this account is at hand.
        self._staying: list[bytes] = [self._group_key]
        book.staying[self._group_key] = self.group

    def _stay(self, key: bytes, row: ScopeRow) -> None:
        staying = self.book.staying
        if key not in staying:
            staying[key] = row
            self._staying.append(key)

    def let_go(self) -> None:
        """It is not at hand any more."""
        for key in self._staying:
            self.book.staying.pop(key, None)

    def look_again(self) -> None:
        """The customer has another contract."""
        self.briefs: dict[int, ContractBrief] = {brief.number: brief for brief in self.customer.contracts}

    # --- rows of scopes and stretches ---

    def _scope(self, key: bytes) -> ScopeRow:
        self.book.breathe()
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

    def _insert_stretch(self, key: bytes, row: ScopeRow, stretch: Stretch) -> None:
        if row.stretch is None:
            row.stretch = stretch
        elif stretch.start > row.stretch.start:
            self.book.save(CLOSED_SCOPE, self._closed_key(row, row.stretch.start), row.stretch)
            row.stretch = stretch
        else:
            self.book.save(CLOSED_SCOPE, self._closed_key(row, stretch.start), stretch)
        self._save_scope(key, row)

    # --- what became different ---

    def touch(self, key: bytes, since: Instant) -> None:
        """The balance of a scope is another from an instant on."""
        before = self._touched.get(key)
        if before is None or since < before:
            self._touched[key] = since

    def touch_pool(self, contract: int, since: Instant) -> None:
        """The balance of a contract's pool is another, or of the customer's (0)."""
        self.touch(number_key(contract) + b"\0", since)

    def touch_shared(self, name: str, since: Instant, paid: Amount) -> None:
        """A shared grant pays more or less than before, unless that is taken back."""
        place = name, since
        self._touched_shared[place] = self._touched_shared.get(place, 0) + paid

    def touch_seats(self, contract: int, subscription: int, since: Instant) -> None:
        """The balances of all seats of a subscription are others, or (0) of the contract."""
        place = contract, subscription
        self._touched_seats[place] = min(since, self._touched_seats.get(place, FOREVER))

    def touch_debts(self, since: Instant) -> None:
        """Whoever owes may pay otherwise."""
        self._touched_debts = min(since, self._touched_debts)

"""Burns age: once nobody asks for them one by one, those of a scope and day become one row.

Several burns of a scope become its last one, with the sum of all, where nothing tells them apart: they lie in one stretch and one
UTC day, between the same points at which shared grants ran dry. So all sums of burns that the ledger lives by stay what they
were, and with them every balance at the end of a day; whatever is played again, is played over these rows as over any other.
Only what lay between two burns of a day cannot be told any more (`history.is_told`).
"""

from itertools import islice

from ledger.account_rows import ERA, ERA_BIAS, NOWHERE, Burn, Shelf, era_key, place_of
from ledger.amounts import Amount
from ledger.instants import DAY, ORIGIN, Instant
from ledger.rows import Book
from ledger.stretches import AGED, AGED_KEY, SCOPE, AgedRow

#: Where the parts of a burn's key end: tag and era, the numbers of customer, account and scope; the place is the rest.
_ERA, _CUSTOMER, _ACCOUNT, _PLACE = 5, 9, 11, 15


def age(book: Book, before: Instant, most: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Ages up to `most` of the burns before an instant, era by era. Answers from which key on, and until before which one, the
    trail holds rows that nobody reads any more, and whether there is more to do."""
    row = book.load(AGED, AGED_KEY) or AgedRow()
    end = before // ERA * ERA
    if end <= row.until:
        return [], False
    was, ageing, aged = row.until, _Ageing(book), 0
    trail = book.rows.scan("trail", row.next_key or b"b" + era_key(was), b"b" + era_key(end))
    for key, value in islice(trail, most):
        ageing.take(key, int.from_bytes(value, "big"))
        book.breathe()
        aged += 1
    ageing.close()
    following = next(trail, None)
    # What has aged is read from where it lies now as soon as its whole era has.
    row.until = end if following is None else max(was, _era_start(following[0]))
    row.next_key = b"" if following is None else following[0]
    book.save(AGED, AGED_KEY, row)
    gone = (
        [(tag + era_key(ORIGIN), tag + era_key(row.until)) for tag in (b"b", b"x")] if aged and row.until > was else []
    )
    return gone, following is not None


def aged_until(book: Book) -> Instant:
    """From when on every burn of a partition is a row of its own."""
    row = book.load(AGED, AGED_KEY)
    return ORIGIN if row is None else row.until


def _era_start(key: bytes) -> Instant:
    return (int.from_bytes(key[1:_ERA], "big") - ERA_BIAS) * ERA


class _Ageing:
    """Burns of the trail, scope by scope and in the order of time, on their way into rows that stay."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._whose = b""
        self._shelf: Shelf
        self._number = 0
        self._holder = b""
        #: The burns at hand, which become one: when the first was, which the last is, and their sum.
        self._count = 0
        self._first: Instant = ORIGIN
        self._last: tuple[Instant, str] = ORIGIN, ""
        self._sum: Amount = 0
        #: Before this instant and place the next one is one of them.
        self._until: Instant = ORIGIN
        self._limit = NOWHERE

    def take(self, key: bytes, amount: Amount) -> None:
        if key[1:_PLACE] != self._whose:
            self.close()
            self._turn_to(key)
        place = key[_PLACE:]
        time, id = place_of(place)
        if time >= self._until or place >= self._limit:
            self.close()
            self._begin(Burn(time, id, amount, self._holder), place)
        self._last = time, id
        self._sum += amount
        self._count += 1

    def close(self) -> None:
        """Writes the burns at hand."""
        if self._count:
            first = None if self._count == 1 else self._first
            self._shelf.put_aged(self._number, *self._last, self._sum, self._holder, first)
        self._count = self._sum = 0
        self._until = ORIGIN

    def _turn_to(self, key: bytes) -> None:
        """To the scope of a burn."""
        self._whose = key[1:_PLACE]
        number = int.from_bytes
        self._shelf = Shelf(self._book, number(key[_ERA:_CUSTOMER], "big"), number(key[_CUSTOMER:_ACCOUNT], "big"))
        self._number = number(key[_ACCOUNT:_PLACE], "big")
        index = self._book.rows.get("trail", b"x" + key[1:_ACCOUNT] + key[_PLACE:])
        assert index is not None, "every burn has its place in the order of time"
        self._holder = index[11:]

    def _begin(self, burn: Burn, place: bytes) -> None:
        """Finds out which burns may be one with this one."""
        shelf = self._shelf
        row = self._book.load(SCOPE, shelf.scope_key(self._holder))
        stretch = None if row is None else shelf.stretch_at(row, burn.time)
        assert row is not None and stretch is not None, "every burn is in a stretch"
        following = shelf.stretch_after(row, stretch.start)
        end = (burn.time // DAY + 1) * DAY
        group_stretch = shelf.group_at(stretch.group_start)
        contract = int.from_bytes(self._holder[:4], "big")
        tail, limit = shelf.tail_after(stretch, group_stretch, contract, place)
        alone = shelf.portions(stretch, group_stretch, contract, burn) != [(tail, burn.amount)]
        self._first = burn.time
        self._until = end if following is None else min(end, following.start)
        self._limit = b"" if alone else limit

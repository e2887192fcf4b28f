"""Burns age: once nobody asks for them one by one, those of a scope and day become one row.

Several burns of a scope become its last one, with the sum of all, where nothing tells them apart: they lie in one stretch and one
UTC day, between the same points at which shared grants ran dry. So all sums of burns that the ledger lives by stay what they
were, and with them every balance at the end of a day; whatever is played again, is played over these rows as over any other.
Only what lay between two burns of a day cannot be told any more (`history.is_told`).
"""

from itertools import islice

from ledger.account_rows import ERA, ERA_BIAS, Burn, Shelf, era_key, place_of
from ledger.amounts import Amount
from ledger.instants import DAY, ORIGIN, Instant, Span
from ledger.rows import Book
from ledger.stretches import AGED, AGED_KEY, SCOPE, AgedRow, TogetherRow

#: Where the parts of a burn's key end: tag and era, the numbers of customer, account and scope; the place is the rest.
_ERA, _CUSTOMER, _ACCOUNT, _PLACE = 5, 9, 11, 15


def horizon(clock: Instant, history: Span, lateness: Span, wait: Span) -> Instant:
    """What is older than this ages, by where a clock stands: no fact that arrives now, or waited until now, may burn before it.
    However far that has come by now, whatever plays such burns again finds them aged (`finish`)."""
    return (clock - max(history, lateness + max(lateness, wait))) // ERA * ERA


def age(book: Book, until: Instant, most: int) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Ages up to `most` of the burns before a horizon, era by era. Answers from which key on, and until before which one, the
    trail holds rows that nobody reads any more, and whether there is more to do."""
    row = book.load(AGED, AGED_KEY) or AgedRow()
    if until <= row.until:
        return [], False
    was, ageing, seen = row.until, _Ageing(book, row.at_hand), 0
    trail = book.rows.scan("trail", row.next_key or b"b" + era_key(was), b"b" + era_key(until))
    for key, value in islice(trail, most):
        ageing.take(key, int.from_bytes(value, "big"))
        book.breathe()
        seen += 1
    following = next(trail, None)
    # Where steps begin and end must not show.
    row.at_hand = None if following is None else ageing.pause(following[0])
    ageing.close()
    # What has aged is read from where it lies now as soon as its whole era has.
    row.until = until if following is None else max(was, _start_of(following[0][1:_ERA]))
    row.next_key = b"" if following is None else following[0]
    book.save(AGED, AGED_KEY, row)
    gone = (
        [(tag + era_key(ORIGIN), tag + era_key(row.until)) for tag in (b"b", b"x")] if seen and row.until > was else []
    )
    return gone, following is not None


def finish(shelf: Shelf, until: Instant) -> None:
    """Ages what has not aged yet of one account before a horizon: what is played again depends on the clock, never on how far
    the steps of `age` have come."""
    book = shelf.book
    row = book.load(AGED, AGED_KEY) or AgedRow()
    mine = row.at_hand is not None and shelf.holds(row.at_hand.whose)
    ageing = _Ageing(book, row.at_hand if mine else None)
    if mine:
        row.at_hand = None
        book.save(AGED, AGED_KEY, row)
    for low, high in shelf.spans(until):
        for key, value in book.rows.scan("trail", max(low, row.next_key), high):
            ageing.take(key, int.from_bytes(value, "big"))
            book.breathe()
    ageing.close()
    shelf.aged(until)


def aged_until(book: Book) -> Instant:
    """From when on every burn of a partition is a row of its own."""
    row = book.load(AGED, AGED_KEY)
    return ORIGIN if row is None else row.until


def _start_of(era: bytes) -> Instant:
    return (int.from_bytes(era, "big") - ERA_BIAS) * ERA


class _Ageing:
    """Burns of the trail, scope by scope and in the order of time, on their way into rows that stay."""

    def __init__(self, book: Book, at_hand: TogetherRow | None) -> None:
        self._book = book
        #: Whose burns these are: era, account and scope, as in their keys.
        self._whose = b""
        self._shelf: Shelf
        #: Whether this account was finished before its turn.
        self._is_done = False
        self._at_hand = at_hand
        if at_hand is not None:
            self._turn_to(at_hand.whose)

    def take(self, key: bytes, amount: Amount) -> None:
        if key[1:_PLACE] != self._whose:
            self.close()
            self._turn_to(key[1:_PLACE])
        if self._is_done:
            return
        place = key[_PLACE:]
        time, id = place_of(place)
        together = self._at_hand
        if together is None or time >= together.until or place >= together.limit:
            self.close()
            together = self._at_hand = self._begin(time, id, amount, place, key)
        together.count += 1
        together.time, together.id = time, id
        together.amount += amount

    def pause(self, following: bytes) -> TogetherRow | None:
        """Lets go of what is at hand, where the burn with the next key may be one with it."""
        at_hand, self._at_hand = self._at_hand, None
        if at_hand is not None and following[1:_PLACE] != self._whose:
            self._at_hand, at_hand = at_hand, None
        return at_hand

    def close(self) -> None:
        """Writes what is at hand."""
        one, self._at_hand = self._at_hand, None
        if one is not None and not self._is_done:
            first = None if one.count == 1 else one.first
            number = int.from_bytes(one.whose[_ACCOUNT - 1 :], "big")
            self._shelf.put_aged(number, one.time, one.id, one.amount, one.holder, first)

    def _turn_to(self, whose: bytes) -> None:
        self._whose = whose
        era, customer, account = whose[: _ERA - 1], whose[_ERA - 1 : _CUSTOMER - 1], whose[_CUSTOMER - 1 : _ACCOUNT - 1]
        self._shelf = Shelf(self._book, int.from_bytes(customer, "big"), int.from_bytes(account, "big"))
        self._is_done = self._shelf.group.aged > _start_of(era)

    def _begin(self, time: Instant, id: str, amount: Amount, place: bytes, key: bytes) -> TogetherRow:
        """Finds out which burns may be one with this one."""
        shelf = self._shelf
        index = self._book.rows.get("trail", b"x" + key[1:_ACCOUNT] + place)
        assert index is not None, "every burn has its place in the order of time"
        holder = index[11:]
        row = self._book.load(SCOPE, shelf.scope_key(holder))
        stretch = None if row is None else shelf.stretch_at(row, time)
        assert row is not None and stretch is not None, "every burn is in a stretch"
        following = shelf.stretch_after(row, stretch.start)
        end = (time // DAY + 1) * DAY
        group_stretch = shelf.group_at(stretch.group_start)
        contract = int.from_bytes(holder[:4], "big")
        tail, limit = shelf.tail_after(stretch, group_stretch, contract, place)
        burn = Burn(time, id, amount, holder)
        alone = shelf.portions(stretch, group_stretch, contract, burn) != [(tail, amount)]
        until = end if following is None else min(end, following.start)
        return TogetherRow(self._whose, holder, 0, time, time, id, 0, until, b"" if alone else limit)

"""What one batch reads and writes: a read-through layer over the rows of a partition, committed whole or dropped."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, Literal, Protocol

Table = Literal["state", "trail"]

#: What a batch changed: for each table the new value of each row, None where the row is gone. A key of `dropping` comes
#: first and says that a whole range is gone.
Changes = Mapping[Table, Mapping[bytes, bytes | None]]

#: Begins the keys by which a changelog says that a range was dropped; the end of the range is the value.
DROP = b"\x00drop"


_NOT_WRITTEN: Final = object()


def dropping(start: bytes) -> bytes:
    return DROP + start


class Rows(Protocol):
    """What an overlay stands on: the committed rows of one partition."""

    def get(self, table: Table, key: bytes) -> bytes | None: ...
    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]: ...


class Overlay:
    """The rows as this batch sees them; what is below stays untouched until somebody commits `rows()`.

    A scan is live: what is written ahead of it, it meets; what is deleted ahead of it, it passes by.
    """

    __slots__ = ("_below", "_dropped", "_orders", "_written")

    def __init__(self, below: Rows) -> None:
        self._below = below
        self._written: dict[Table, dict[bytes, bytes | None]] = {"state": {}, "trail": {}}
        self._dropped: dict[bytes, bytes] = {}
        self._orders = {table: _Order(written) for table, written in self._written.items()}

    def get(self, table: Table, key: bytes) -> bytes | None:
        value = self._written[table].get(key, _NOT_WRITTEN)
        if value is not _NOT_WRITTEN:
            return value  # type: ignore[return-value]
        if self._dropped and self._is_dropped(table, key):
            return None
        return self._below.get(table, key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._written[table][key] = value

    def delete(self, table: Table, key: bytes) -> None:
        self._written[table][key] = None

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with `start <= key < end`, in the order of their keys or in the opposite one."""
        written, order = self._written[table], self._orders[table]
        below = self._below.scan(table, start, end, reverse)
        if self._dropped and table == "trail":
            below = self._kept(below)
        stored = next(below, None)
        key = order.last_before(end) if reverse else order.first_from(start)
        size = len(written)
        while True:
            mine = key is not None and (key >= start if reverse else key < end)
            if mine and (stored is None or (key >= stored[0] if reverse else key <= stored[0])):  # type: ignore[operator]
                assert key is not None
                if stored is not None and stored[0] == key:
                    stored = next(below, None)
                value = written[key]
                if value is not None:
                    yield key, value
                key = order.last_before(key) if reverse else order.first_after(key)
            elif stored is not None:
                here = stored[0]
                yield stored
                stored = next(below, None)
                if len(written) != size:
                    # The caller may have written between this row and the next one.
                    size = len(written)
                    key = order.last_before(here) if reverse else order.first_after(here)
            else:
                return

    def _kept(self, below: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        # Row by row, and not as a generator expression: compiled, that would be taken all at once.
        for row in below:
            if not self._is_dropped("trail", row[0]):
                yield row

    def drop(self, start: bytes, end: bytes) -> None:
        """Drops the rows of the trail with `start <= key < end`, as one change however many they are.

        Only the trail: a compacted changelog would keep the word of it for ever.
        """
        if start >= end:
            return
        written = self._written["trail"]
        for key in [key for key in written if start <= key < end]:
            written[key] = None
        self._dropped[start] = max(end, self._dropped.get(start, end))

    def rows(self) -> Changes:
        """What this batch changed: each row once, with its last value."""
        if not self._dropped:
            return self._written
        drops: dict[bytes, bytes | None] = {dropping(start): end for start, end in self._dropped.items()}
        return {"state": self._written["state"], "trail": drops | self._written["trail"]}

    def _is_dropped(self, table: Table, key: bytes) -> bool:
        return table == "trail" and any(start <= key < end for start, end in self._dropped.items())


class _Order:
    """The keys of a growing dict in their order, sorted only where somebody scans."""

    __slots__ = ("_keys", "_sorted")

    def __init__(self, keys: dict[bytes, bytes | None]) -> None:
        self._keys = keys
        self._sorted: list[bytes] = []

    def first_from(self, key: bytes) -> bytes | None:
        order = self._in_order()
        at = bisect_left(order, key)
        return order[at] if at < len(order) else None

    def first_after(self, key: bytes) -> bytes | None:
        order = self._in_order()
        at = bisect_right(order, key)
        return order[at] if at < len(order) else None

    def last_before(self, key: bytes) -> bytes | None:
        order = self._in_order()
        at = bisect_left(order, key)
        return order[at - 1] if at else None

    def _in_order(self) -> list[bytes]:
        order = self._sorted
        fresh = len(self._keys) - len(order)
        if fresh:
            # The newest keys are the last ones of a dict. A fold that writes one row and scans, over and over, must not
            # sort everything each time.
            newest = islice(reversed(self._keys), fresh)
            if fresh < 16:
                for key in newest:
                    insort(order, key)
            else:
                order.extend(newest)
                order.sort()
        return order

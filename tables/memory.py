"""Rows that live as long as the object: for `seatstream play`, tests and benchmarks, which need no store."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

from ledger.rows import Table

#: Above so many new keys it is quicker to sort them all than to put each in its place.
_FEW = 32


class MemoryRows:
    """An ordered store of two tables. Keys are put in order when a scan asks for it."""

    def __init__(self) -> None:
        self.tables: dict[Table, dict[bytes, bytes]] = {"state": {}, "trail": {}}
        self._orders: dict[Table, _Order] = {table: _Order(rows) for table, rows in self.tables.items()}

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.tables[table][key] = value

    def delete(self, table: Table, key: bytes) -> None:
        self._orders[table].drop(key)

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """What is written during the scan it does not meet; what is deleted ahead of it, it passes by."""
        rows = self.tables[table]
        found = self._orders[table].between(start, end)
        for key in reversed(found) if reverse else found:
            value = rows.get(key)
            if value is not None:
                yield key, value


class _Order:
    """The keys of a table in order, as of the last look."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self._rows = rows
        self._keys: list[bytes] = []
        #: Keys that are there and not in order yet, and keys that are gone and have their place still.
        self._new: list[bytes] = []
        self._gone: set[bytes] = set()
        #: How many rows there were when the new ones were looked for last.
        self._count = 0

    def drop(self, key: bytes) -> None:
        self._look()
        if self._rows.pop(key, None) is not None:
            self._count -= 1
            self._gone.add(key)

    def between(self, start: bytes, end: bytes) -> list[bytes]:
        self._look()
        keys = self._keys
        if len(self._new) <= _FEW:
            for key in self._new:
                insort(keys, key)
        else:
            keys += self._new
            keys.sort()
        self._new.clear()
        if len(self._gone) > _FEW + len(keys) // 2:
            keys[:] = [key for key in keys if key not in self._gone]
            self._gone.clear()
        return keys[bisect_left(keys, start) : bisect_left(keys, end)]

    def _look(self) -> None:
        # The newest keys are the last ones of a dict.
        for key in islice(reversed(self._rows), len(self._rows) - self._count):
            if key in self._gone:
                self._gone.remove(key)
            else:
                self._new.append(key)
        self._count = len(self._rows)

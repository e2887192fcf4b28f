"""Rows in memory: two dicts of bytes, for tests and benchmarks without a store."""

from bisect import bisect_left
from collections.abc import Iterator

from ledger.rows import Table


class MemoryRows:
    """An ordered store of bytes that lives as long as the object. Sorts only when it is scanned."""

    def __init__(self) -> None:
        self.tables: dict[Table, dict[bytes, bytes]] = {"state": {}, "trail": {}}
        self._sorted: dict[Table, list[bytes] | None] = {"state": [], "trail": []}

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.tables[table].get(key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        rows = self.tables[table]
        if key not in rows:
            self._sorted[table] = None
        rows[key] = value

    def delete(self, table: Table, key: bytes) -> None:
        if self.tables[table].pop(key, None) is not None:
            self._sorted[table] = None

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        rows, keys = self.tables[table], self._sorted[table]
        if keys is None:
            keys = self._sorted[table] = sorted(rows)
        found = keys[bisect_left(keys, start) : bisect_left(keys, end)]
        return iter([(key, rows[key]) for key in (reversed(found) if reverse else found)])

"""The ledger's rows in memory. Tests outside this folder take them from here too, so that the store can move."""

from collections.abc import Iterator

from ledger.rows import Table
from tables.memory import MemoryRows

__all__ = ["Counting", "MemoryRows"]


class Counting:
    """Counts the rows that are read and written, and their bytes, so that a test can say what a question costs."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.tables = self.rows.tables
        self.forget()

    def forget(self) -> None:
        self.count = self.size = 0

    def get(self, table: Table, key: bytes) -> bytes | None:
        value = self.rows.get(table, key)
        self._count(value)
        return value

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._count(value)
        self.rows.put(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        self.rows.delete(table, key)

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self.rows.scan(table, start, end, reverse):
            self._count(value)
            yield key, value

    def _count(self, value: bytes | None) -> None:
        self.count += 1
        self.size += len(value or b"")

"""The ledger's rows in memory. Tests outside this folder take them from here too, so that the store can move."""

from collections.abc import Iterator

from ledger.rows import Table
from tables.memory import MemoryRows

__all__ = ["Counting", "MemoryRows"]


class Counting(MemoryRows):
    """Counts the rows that are read and written, so that a test can say what a question costs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def get(self, table: Table, key: bytes) -> bytes | None:
        self.count += 1
        return super().get(table, key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.count += 1
        super().put(table, key, value)

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for row in super().scan(table, start, end, reverse):
            self.count += 1
            yield row

"""The rows of one partition: both tables, read by their names, committed together."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tables.look import Look
from tables.overlay import Changes, Table
from tables.store import STEP, Memory, Position, Store

TABLES: tuple[Table, ...] = ("state", "trail")


class Shard:
    """Both tables of one partition. The two need no common atom: each is brought to the end of its own changelog."""

    def __init__(self, partition: int, directory: Path, memory: Memory, *, read_only: bool = False) -> None:
        self.partition = partition
        self.state = Store(directory / f"state-{partition}", memory, read_only=read_only)
        self.trail = Store(directory / f"trail-{partition}", memory, read_only=read_only)

    def table(self, table: Table) -> Store:
        return self.state if table == "state" else self.trail

    def get(self, table: Table, key: bytes) -> bytes | None:
        return (self.state if table == "state" else self.trail).get(key)

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with `start <= key < end`, in the order of their keys or in the opposite one."""
        return self.table(table).scan(start, end, reverse)

    def commit(self, rows: Changes, positions: Mapping[Table, int], now_ms: int) -> None:
        """Writes what a committed transaction holds: one atomic write for each table, its changelog position inside.

        A table without a position took no part in the transaction and is left alone.
        """
        for table, position in positions.items():
            self.table(table).write(rows.get(table, {}), Position(position, now_ms))

    def reopen(self) -> None:
        """After a write that failed."""
        for table in TABLES:
            self.table(table).reopen()

    def look(self) -> "ShardLook":
        """Both tables as they are now: as of the last commit. Has to be closed before the shard may be."""
        return ShardLook(self.state.look(), self.trail.look())

    def steps(self) -> set[int]:
        """Up to which step each table holds rows; 0: none."""
        return {int(self.get(table, STEP) or 0) for table in TABLES}

    def close(self) -> None:
        self.state.close()
        self.trail.close()


class ShardLook:
    """The rows of one partition as they were between two commits; they are only looked at."""

    __slots__ = ("_state", "_trail")

    def __init__(self, state: Look, trail: Look) -> None:
        self._state = state
        self._trail = trail

    def get(self, table: Table, key: bytes) -> bytes | None:
        return (self._state if table == "state" else self._trail).get(key)

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return (self._state if table == "state" else self._trail).scan(start, end, reverse)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        raise TypeError("whoever looks writes nothing")

    def delete(self, table: Table, key: bytes) -> None:
        raise TypeError("whoever looks writes nothing")

    def close(self) -> None:
        self._state.close()
        self._trail.close()


class Shards:
    """The partitions whose rows are open here."""

    def __init__(self, directory: Path, memory: Memory) -> None:
        self._directory = directory
        self._memory = memory
        self._open: dict[int, Shard] = {}

    def keep(self, partitions: Iterable[int]) -> list[Shard]:
        """Opens these and closes all others, so that another worker on this disk may have them."""
        wanted = set(partitions)
        self.drop(self._open.keys() - wanted)
        for partition in sorted(wanted - self._open.keys()):
            self._open[partition] = Shard(partition, self._directory, self._memory)
        return [self._open[partition] for partition in sorted(wanted)]

    def drop(self, partitions: Iterable[int]) -> None:
        """Closes these, so that they are opened anew where they are kept."""
        for partition in partitions:
            shard = self._open.pop(partition, None)
            if shard is not None:
                shard.close()

    def get(self, partition: int) -> Shard | None:
        return self._open.get(partition)

    def close(self) -> None:
        self.keep(())

"""A partition that the bookkeeper keeps over RocksDB, without Kafka."""

from pathlib import Path

from ledger.instants import Instant
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.settings import read
from tables.overlay import Overlay
from tables.shard import TABLES, Shard
from tables.store import Memory


class Kept:
    """`variables`: settings, by their names."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.shard = Shard(0, directory, Memory())
        settings = read({"SEATSTREAM_PARTITIONS": "1", **variables})
        self._keeper = Bookkeeper(settings, settings.topics)
        self._offset = 0

    def record(self, kind: str, value: bytes, at: Instant) -> Record:
        self._offset += 1
        return Record(kind, 0, self._offset, at // 1000, None, value, ())

    def step(self, records: list[Record]) -> tuple[list[Output], bool]:
        """One batch: what leaves with it, and whether its fold goes on with the next."""
        overlay = Overlay(self.shard)
        said = list(self._keeper(0, records, overlay))
        self.shard.commit(overlay.rows(), dict.fromkeys(TABLES, self._offset), 0)
        self._keeper.committed(0)
        outputs = [one for one in said if one is not UNFINISHED]
        return outputs, len(outputs) < len(said)

    def fold(self, records: list[Record]) -> None:
        """A batch, and those that it leaves to be done."""
        while self.step(records)[1]:
            records = []

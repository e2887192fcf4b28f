"""One table of one partition in RocksDB: bytes in, bytes out, and how far of its changelog it holds.

The rows and the changelog position move in one atomic write, so the store is never apart from its own position: a
process may die at any point and the store still says the truth about itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from tables.overlay import DROP

#: Keys that begin with this byte belong to the engine; no fold may write them into a table.
ENGINE = b"\x00"
POSITION = ENGINE + b"changelog"
#: The offsets of the inputs up to which the rows of the state table are folded; it travels through the changelog.
CURSOR = ENGINE + b"cursor"
#: There while the fold has work left that needs no record.
UNFINISHED = ENGINE + b"unfinished"


class Memory:
    """The bound on RocksDB's memory that all stores of a process share."""

    def __init__(self, cache_bytes: int = 128 << 20, write_bytes: int = 64 << 20) -> None:
        self.cache = Cache(cache_bytes)
        # Counted within the cache: the two together stay below `cache_bytes` plus what is pinned.
        self.writes = WriteBufferManager.new_write_buffer_manager_with_cache(write_bytes, False, self.cache)

    def options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self.cache)
        blocks.set_bloom_filter(10, False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self.writes)
        options.set_write_buffer_size(16 << 20)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(256)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        # Small, so that the many stores of a worker don't preallocate a disk's worth of logs.
        options.set_max_total_wal_size(32 << 20)
        return options


class Position(NamedTuple):
    """How far of the changelog a store holds, and when it last heard of it."""

    offset: int
    seen_ms: int


class StoreInUse(Exception):
    """Another process holds this store's directory."""


class Store:
    """The rows of one table of one partition."""

    def __init__(self, path: Path, memory: Memory) -> None:
        self.path = path
        self._memory = memory
        self._db = self._open()

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with `start <= key < end`; those written after the first step are not seen."""
        if start >= end:
            return
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(end)
        if not reverse:
            yield from cast("Iterator[tuple[bytes, bytes]]", self._db.items(from_key=start, read_opt=bounds))
            return
        # A lower bound on the iterator is not heeded backwards.
        backwards = self._db.items(backwards=True, from_key=end, read_opt=bounds)
        for row in cast("Iterator[tuple[bytes, bytes]]", backwards):
            if row[0] < start:
                return
            yield row

    def write(self, rows: Mapping[bytes, bytes | None], position: Position) -> None:
        """Rows and position, in one atomic write."""
        self.apply(rows.items(), position)

    def apply(self, rows: Iterable[tuple[bytes, bytes | None]], position: Position) -> None:
        """As `write`, for rows in the order of a changelog, where a key may come more than once."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in rows:
            if value is None:
                delete(key)
            elif key.startswith(DROP):
                batch.delete_range(key.removeprefix(DROP), value)
            else:
                put(key, value)
        put(POSITION, b"%d %d" % position)
        self._db.write(batch)

    def position(self) -> Position | None:
        """None where nothing was ever written."""
        value = self.get(POSITION)
        return None if value is None else Position(*map(int, value.split()))

    def clear(self) -> None:
        """Forgets everything, as if the disk were new."""
        self.close()
        rmtree(self.path)
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def _open(self) -> Rdict:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return Rdict(str(self.path), options=self._memory.options(), access_type=AccessType.read_write())
        except Exception as error:
            if "lock" in str(error).lower():
                raise StoreInUse(
                    f"{self.path} is held by another process. Each worker needs a data directory of its own:"
                    " set SEATSTREAM_DATA."
                ) from error
            raise

"""One table of one partition in RocksDB: bytes in, bytes out, and how far of its changelog it holds.

The rows and the changelog position move in one atomic write, so the store is never apart from its own position: a
process may die at any point and the store still says the truth about itself.

The changelog is what counts. So a directory that is torn, older or not ours is set aside, with a word, and the store begins
anew; only one that a newer SeatStream wrote is refused.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    MemtableFactory,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from tables.look import Look
from tables.overlay import DROP

log = logging.getLogger(__name__)

#: Keys that begin with this byte belong to the engine; no fold may write them into a table.
ENGINE = b"\x00"
POSITION = ENGINE + b"changelog"
#: What a store says of itself: its version, and whose rows these are.
FORMAT = ENGINE + b"format"
#: Rises when rows are kept in another way; an older store is rebuilt.
VERSION = 1
#: The offsets of the inputs up to which the rows of the state table are folded; it travels through the changelog.
CURSOR = ENGINE + b"cursor"
#: The number of the last step that is in the rows, in each table.
STEP = ENGINE + b"step"
#: There while the fold has work left that needs no record.
UNFINISHED = ENGINE + b"unfinished"


class Memory:
    """The bound on RocksDB's memory that all stores of a process share."""

    def __init__(self, cache_bytes: int = 128 << 20, write_bytes: int = 64 << 20) -> None:
        self.cache = Cache(cache_bytes)
        # Counted within the cache: the two together stay below `cache_bytes` plus what is pinned.
        self.writes = WriteBufferManager.new_write_buffer_manager_with_cache(write_bytes, False, self.cache)

    def options(self, *, filling: bool = False) -> Options:
        """`filling`: where rows are only written, and what is not on the disk yet may be lost."""
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
        if filling:
            # Rows wait as they come, and are put in order on their way to the disk, beside us: in memory, the place of each
            # is most of what writing it costs.
            options.set_memtable_factory(MemtableFactory.vector())
            options.set_allow_concurrent_memtable_write(False)
        else:
            # Whether a burn is new is asked of keys that are not there: without a filter, rows that are in memory still are
            # searched through for each, at five times the price.
            options.set_memtable_prefix_bloom_ratio(0.05)
            options.set_memtable_whole_key_filtering(True)
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


class Size(NamedTuple):
    """How many rows a store holds, about, and the bytes that they take on the disk and in memory until they are there."""

    rows: int
    bytes: int


class StoreRefused(Exception):
    """A store cannot be used, and must not be touched; the message says what to do."""


class StoreTorn(Exception):
    """What is on this disk is not what was written; the store can be set aside, and its changelog read anew."""

    def __init__(self, store: "Store", error: object) -> None:
        super().__init__(f"{store.path} is torn: {error}")
        self.store = store


class Store:
    """The rows of one table of one partition."""

    def __init__(self, path: Path, memory: Memory, *, read_only: bool = False) -> None:
        self.path = path
        self._memory = memory
        #: Why the rows were set aside last.
        self._torn: object = None
        #: How rows are written while many come, and up to where they are; None where each write is to last.
        self._filling: WriteOptions | None = None
        self._filled: Position | None = None
        #: As it is now, whoever else has it open.
        self._db = self._connect(read_only=True) if read_only else self._open()

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._told(error) from error
        return value

    def scan(self, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with `start <= key < end`; those written after the first step are not seen."""
        if start >= end:
            return
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(end)
        rows = self._db.iter(bounds)
        if reverse:
            rows.seek_for_prev(end)
        else:
            rows.seek(start)
        step = rows.prev if reverse else rows.next
        while rows.valid():
            key: bytes = rows.key()
            if reverse and key < start:
                return  # a lower bound on the iterator is not heeded backwards
            yield key, rows.value()
            step()
        try:
            # What cannot be read looks like the end.
            rows.status()
        except Exception as error:
            raise self._told(error) from error

    def look(self) -> Look:
        """The rows as they are now, whatever is written afterwards. Has to be closed before the store may be."""
        return Look(self._db)

    def write(self, rows: Mapping[bytes, bytes | None], position: Position) -> None:
        """Rows and position, in one atomic write."""
        self.apply(rows.items(), position)

    def apply(self, rows: Iterable[tuple[bytes, bytes | None]], position: Position) -> None:
        """As `write`, for rows in the order of a changelog, where a key may come more than once."""
        # By its items: what its methods take of a row is twice as much.
        batch: Any = WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                del batch[key]
            elif key.startswith(DROP):
                batch.delete_range(key.removeprefix(DROP), value)
            else:
                batch[key] = value
        batch[POSITION] = b"%d %d" % position
        try:
            self._db.write(batch, self._filling)
        except Exception as error:
            raise self._told(error) from error
        self._filled = position

    def fill(self) -> None:
        """From here on until `filled` many rows come, and nobody reads them. Each write stays atomic; whoever dies meanwhile
        leaves the rows of the first so many of them, with their position."""
        self._close_in_order()
        self._filling, self._filled = WriteOptions(), None
        # A property, whatever its stub says.
        self._filling.disable_wal = True  # type: ignore[method-assign, assignment]
        try:
            self._db = self._connect()
        except Exception as error:
            self._filling = None
            raise self._told(error) from error

    def flush(self) -> None:
        """Where it is being filled: no more rows come, and what is in memory is written to the disk beside us."""
        if self._filling is None:
            return
        try:
            self._db.flush(False)
        except Exception as error:
            raise self._told(error) from error

    def filled(self) -> None:
        """Returns when all rows that came since `fill` are on the disk; raises what writing them does."""
        if self._filling is None:
            return
        self._close_in_order()
        filled, self._db = self._filled, self._open()
        if filled is not None and self.position() != filled:
            raise StoreTorn(self, f"{self.position()} is on the disk, {filled} was written")

    def _close_in_order(self) -> None:
        try:
            self._db.flush()
            self._db.close()
        except Exception as error:
            raise self._told(error) from error

    def position(self) -> Position | None:
        """None where nothing was ever written."""
        value = self.get(POSITION)
        return None if value is None else Position(*map(int, value.split()))

    def size(self) -> Size:
        told = self._db.property_int_value
        on_disk, in_memory = told("rocksdb.total-sst-files-size"), told("rocksdb.cur-size-all-mem-tables")
        return Size(told("rocksdb.estimate-num-keys") or 0, (on_disk or 0) + (in_memory or 0))

    def clear(self) -> None:
        """Forgets everything, as if the disk were new."""
        self.close()
        rmtree(self.path)
        self._db = self._open()

    def set_aside(self, why: object) -> None:
        """Begins anew; what was here is kept beside until the next time."""
        self.close()
        self._move_aside(why)
        self._db = self._open()

    def reopen(self) -> None:
        """After a write that failed: RocksDB takes none until it was opened anew. Raises what opening does, and `StoreTorn`
        where the rows were set aside: what comes next would be written to an empty store."""
        self.close()
        self._torn = None
        self._db = self._open()
        if self._torn is not None:
            raise StoreTorn(self, self._torn)

    def close(self) -> None:
        # After a write that failed RocksDB cannot close in order. What it lost is in the changelog.
        with suppress(Exception):
            self._db.close()

    # --- opening ---

    def _open(self) -> Rdict:
        """Raises `StoreRefused`, and `OSError` where the disk has no room or no rights."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._filling = self._filled = None
        db = self._try_to_open()
        doubt = None if db is None else self._doubt(db)
        if db is None or doubt is not None:
            if db is not None:
                db.close()
                self._move_aside(doubt)
            db = self._connect()
            self._sign(db)
        return db

    def _try_to_open(self) -> Rdict | None:
        """None where what is on the disk is no store, and was set aside."""
        try:
            return self._connect()
        except Exception as error:
            said = str(error).lower()
            if any(words in said for words in _HELD):
                raise StoreRefused(
                    f"{self.path} is held by another process. Each worker needs a data directory of its own:"
                    " set SEATSTREAM_DATA."
                ) from error
            if any(words in said for words in _DISK):
                raise OSError(f"{self.path} cannot be opened: {error}") from error
            self._move_aside(error)
            return None

    def _connect(self, *, read_only: bool = False) -> Rdict:
        access = AccessType.read_only() if read_only else AccessType.read_write()
        options = self._memory.options(filling=self._filling is not None)
        # Said twice: what is there already would be opened as it was the last time, with a cache of its own.
        return Rdict(str(self.path), options=options, column_families={"default": options}, access_type=access)

    def _doubt(self, db: Rdict) -> str | None:
        """Why the rows on the disk are not those of this store; None where they are, or where there are none."""
        said = db.get(FORMAT)
        if said is None:
            if next(iter(db.items()), None) is not None:
                return "it is not one of ours"
            self._sign(db)
            return None
        version, _, name = said.decode(errors="replace").partition(" ")
        if version.isdecimal() and int(version) > VERSION:
            db.close()
            raise StoreRefused(
                f"{self.path} was written by a newer SeatStream (version {version} of its rows, this one knows {VERSION})."
                " Start the newer one again, or move the directory away to have it rebuilt from the changelog."
            )
        if version != str(VERSION):
            return f"it is of version {version}, this is {VERSION}"
        return None if name == self.path.name else f"it holds {name}"

    def _sign(self, db: Rdict) -> None:
        db.put(FORMAT, f"{VERSION} {self.path.name}".encode())

    def _move_aside(self, why: object) -> None:
        aside = self.path.with_name(f"{self.path.name}.aside")
        if aside.exists():
            rmtree(aside)
        self.path.rename(aside)
        self._torn = why
        log.warning("%s is set aside as %s and rebuilt from its changelog: %s", self.path, aside.name, why)

    def _told(self, error: Exception) -> Exception:
        said = str(error).lower()
        if any(words in said for words in (*_DISK, *_HELD)):
            return OSError(f"{self.path} takes no more: {error}")
        return StoreTorn(self, error) if any(words in said for words in _TORN) else error


#: How RocksDB says that a directory is open already: elsewhere, or here.
_HELD = ("while lock file: ", "lock hold by current process")
#: How RocksDB says that a disk has no room or no rights, and that what it reads is not what it wrote.
_DISK = ("no space left", "permission denied", "read-only file system", "too many open files")
_TORN = ("corruption", "checksum", "no such file")

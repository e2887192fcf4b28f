"""Where the ledger keeps what it knows: small rows that a caller reads and writes for it.

`Rows` is the whole interface to the caller's store. A `Book` stands between it and the rules for one batch: it decodes a
row once, hands out the same object until the end of the batch, and writes back what was saved in `flush`. A row is a
version byte and an array: packed (msgpack), or a text (JSON) where it holds more than msgpack can, an integer above 64 bits
or a fact as it came; all rows of the first version are. Fields are only ever added at the end, with a default, so that an older
row can be read.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

import msgspec

from ledger.instants import Instant
from ledger.row import Row

#: `state` lives as long as what it describes; `trail` (burns, identities) leaves with time.
Table = Literal["state", "trail"]

#: The version of a row that is a text, and of one that is packed: the newest.
TEXT = b"\x01"
PACKED = b"\x02"

#: Called between two steps of what takes long, wherever it may be left alone for a while: nothing is half done with it there
#: but the fact that is being folded, of which nobody else sees anything.
Breathe = Callable[[], None]


def nobody_waits() -> None:
    """Where nobody else has anything to do."""


#: So many rows are written without a breath.
BREATH_ROWS = 100

#: Neither a row nor None: nobody looked yet.
_UNREAD = object()


class Rows(Protocol):
    """An ordered store of two tables. A read sees the writes before it."""

    def get(self, table: Table, key: bytes) -> bytes | None: ...
    def put(self, table: Table, key: bytes, value: bytes) -> None: ...
    def delete(self, table: Table, key: bytes) -> None: ...
    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows with `start <= key < end` in key order, or in the opposite order."""
        ...


class Scratch:
    """Rows over other rows, which they leave as they are: for questions that have to play something forward."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._own: dict[Table, dict[bytes, bytes | None]] = {"state": {}, "trail": {}}

    def get(self, table: Table, key: bytes) -> bytes | None:
        own = self._own[table]
        return own[key] if key in own else self._rows.get(table, key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._own[table][key] = value

    def delete(self, table: Table, key: bytes) -> None:
        self._own[table][key] = None

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        own = self._own[table]
        mine = sorted((key for key in own if start <= key < end), reverse=reverse)
        if not mine:
            yield from self._rows.scan(table, start, end, reverse)
            return
        i = 0
        for key, value in self._rows.scan(table, start, end, reverse):
            while i < len(mine) and (mine[i] > key if reverse else mine[i] < key):
                if (written := own[mine[i]]) is not None:
                    yield mine[i], written
                i += 1
            if i < len(mine) and mine[i] == key:
                continue
            yield key, value
        for key in mine[i:]:
            if (written := own[key]) is not None:
                yield key, written


R = TypeVar("R", bound=Row)


class Kind(Generic[R]):
    """A family of rows: its table, its tag (the first byte of its keys), its shape, and how one is written."""

    def __init__(self, table: Table, tag: bytes, shape: type[R], write: Callable[[Any], bytes] | None = None) -> None:
        self.table = table
        self.tag = tag
        self.write: Callable[[Any], bytes] = written if write is None else write
        self._unpack = msgspec.msgpack.Decoder(shape).decode
        self._decode = msgspec.json.Decoder(shape).decode

    def read(self, value: bytes) -> R:
        """The row that these bytes hold. Raises `RowUnreadable` where a newer version wrote them."""
        version = value[0]
        if version == 2:
            return self._unpack(value[1:])
        if version > 2:
            raise RowUnreadable(f"a row of version {version}: written by a newer SeatStream; upgrade this worker")
        return self._decode(value[1:])


_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode


def written(row: Row) -> bytes:
    """A row as bytes."""
    try:
        return PACKED + _pack(row)
    except OverflowError:
        return TEXT + _encode(row)


def written_as_text(row: Row) -> bytes:
    """As `written`, for one that holds a fact as it came, which is JSON."""
    return TEXT + _encode(row)


def alike(one: bytes, other: bytes) -> bool:
    """Whether two rows hold the same, whichever version wrote each; what only the newer one knows of is not compared."""
    if one == other or one[:1] == other[:1]:
        return one == other
    mine, theirs = _plain(one), _plain(other)
    if isinstance(mine, list) and isinstance(theirs, list):
        both = min(len(mine), len(theirs))
        return mine[:both] == theirs[:both]
    return False


def readable(value: bytes) -> bytes:
    """A row as people can read it; anything else as it is."""
    plain = _plain(value) if value[:1] == PACKED else None
    return value if plain is None else _encode(plain)


def _plain(value: bytes) -> object:
    """None: it is no row, as a burn's amount is none, or torn."""
    try:
        if value[:1] == PACKED:
            return msgspec.to_builtins(msgspec.msgpack.decode(value[1:]))
        return msgspec.json.decode(value[1:]) if value[:1] == TEXT else None
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


class RowUnreadable(Exception):
    """A row was written by a newer version than this one."""


class Book:
    """The rows of one batch, decoded once. `flush` writes what was saved; until then the store is untouched."""

    def __init__(self, rows: Rows, breathe: Breathe = nobody_waits) -> None:
        self._held: dict[bytes, Any] = {}
        self._saved: dict[Kind[Any], dict[bytes, None]] = {}
        #: Rows that are not forgotten with the batch: who puts one here takes it out before its bytes may be others.
        self.staying: dict[bytes, Any] = {}
        self.turn_to(rows, breathe)

    def turn_to(self, rows: Rows, breathe: Breathe) -> None:
        """Another batch begins, over rows that are what `close` left."""
        self.rows = rows
        self.breathe = breathe
        self._get = rows.get

    def load(self, kind: Kind[R], key: bytes) -> R | None:
        """The row of this key (its tag included), or None."""
        row = self._held.get(key, _UNREAD)
        if row is _UNREAD:
            row = self.staying.get(key)
            if row is None:
                value = self._get(kind.table, key)
                row = None if value is None else kind.read(value)
            self._held[key] = row
        return cast("R | None", row)

    def save(self, kind: Kind[R], key: bytes, row: R) -> None:
        """`row` is what this key holds from now on; it may still be changed in place until `flush`."""
        self._held[key] = row
        saved = self._saved.get(kind)
        if saved is None:
            saved = self._saved[kind] = {}
        saved[key] = None

    def drop(self, kind: Kind[R], key: bytes) -> None:
        self._held[key] = None
        self._saved.setdefault(kind, {})[key] = None

    def scan(self, kind: Kind[R], start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, R]]:
        """The rows of a kind with `start <= key < end`, in key order or in the opposite one, as they were when the scan began."""
        return iter(list(self.scan_lazily(kind, start, end, reverse)))

    def scan_lazily(self, kind: Kind[R], start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, R]]:
        """As `scan`, for who takes few of many; nothing of this kind may be saved before the last one is taken."""
        self._flush_kind(kind)
        for key, value in self.rows.scan(kind.table, start, end, reverse):
            row = self._held.get(key)
            if row is None:
                row = self._held[key] = self.staying.get(key) or kind.read(value)
            yield key, row

    def keys(self, kind: Kind[Any], start: bytes, end: bytes) -> Iterator[bytes]:
        """The keys of a kind with `start <= key < end`, in order, for who takes them before anything is saved."""
        self._flush_kind(kind)
        for key, _ in self.rows.scan(kind.table, start, end):
            yield key

    def flush(self) -> None:
        for kind in self._saved:
            self._flush_kind(kind)

    def close(self) -> None:
        """Flush and forget: the next read decodes anew what does not stay."""
        self.flush()
        self._held.clear()

    def _flush_kind(self, kind: Kind[Any]) -> None:
        keys = self._saved.get(kind)
        if not keys:
            return
        held, put, table, write = self._held, self.rows.put, kind.table, kind.write
        for number, key in enumerate(keys, 1):
            if number % BREATH_ROWS == 0:
                self.breathe()
            row = held[key]
            if row is None:
                self.rows.delete(table, key)
            else:
                put(table, key, write(row))
        keys.clear()


# --- keys ------------------------------------------------------------------------------------------------------------


def number_key(number: int) -> bytes:
    """Four bytes, in order."""
    return number.to_bytes(4, "big")


def instant_key(at: Instant) -> bytes:
    """Eight bytes, in order, for instants before the epoch too."""
    return (at + (1 << 63)).to_bytes(8, "big")


def instant_of(key: bytes) -> Instant:
    return int.from_bytes(key, "big") - (1 << 63)


def text_key(text: str) -> bytes:
    """In order of code points, and no text's key is the beginning of another's."""
    return text.encode().replace(b"\0", b"\0\xff") + b"\0\1"


def text_of(key: bytes) -> str:
    """The text whose `text_key` is the whole of `key`."""
    return key[:-2].replace(b"\0\xff", b"\0").decode()


def after(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1])

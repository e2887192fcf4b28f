"""The rows of a store as they were at one moment, whatever is written meanwhile: for questions that take longer than a commit."""

from collections.abc import Iterator

from rocksdict import Rdict, RdictIter, Snapshot


class Look:
    """The rows of a store as they were at one moment.

    A snapshot answers for single rows. Its own iterators do not keep to it (rocksdict 0.3.29), but an iterator that was there
    before a write does not see it: so there is one from the beginning, and all scans take turns with it.
    """

    __slots__ = ("_iterator", "_snapshot", "_turn")

    def __init__(self, db: Rdict) -> None:
        self._snapshot: Snapshot | None = db.snapshot()
        self._iterator: RdictIter | None = db.iter()
        self._turn: object = None

    def get(self, key: bytes) -> bytes | None:
        if self._snapshot is None:
            raise LookOver
        try:
            value: bytes = self._snapshot[key]
        except Exception as error:
            # It has no other way to say that there is none.
            if error.args != ("key not found",):
                raise
            return None
        return value

    def scan(self, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self._backwards(start, end) if reverse else self._forwards(start, end)

    def _forwards(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        mine, following = object(), start
        while True:
            iterator = self._open()
            if self._turn is not mine:
                iterator.seek(following)
                self._turn = mine
            if not iterator.valid() or (key := iterator.key()) >= end:
                iterator.status()
                return
            value = iterator.value()
            following = key + b"\0"
            iterator.next()
            yield key, value

    def _backwards(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        mine, before = object(), end
        while True:
            iterator = self._open()
            if self._turn is not mine:
                iterator.seek_for_prev(before)
                if iterator.valid() and iterator.key() == before:
                    iterator.prev()
                self._turn = mine
            if not iterator.valid() or (key := iterator.key()) < start:
                iterator.status()
                return
            value = iterator.value()
            before = key
            iterator.prev()
            yield key, value

    def close(self) -> None:
        self._snapshot = self._iterator = None

    def _open(self) -> RdictIter:
        if self._iterator is None:
            raise LookOver
        return self._iterator


class LookOver(Exception):
    """Somebody asks for rows that are closed by now."""

"""Records whose headers have names that are no UTF-8 are read like all others.

Kafka takes any bytes for a header's name, and some clients send any. aiokafka's reader fails on such a record, and so
would every attempt to read past it; its consumer offers no place to say otherwise, hence `install`.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import decode_varint


def install() -> None:
    """From here on every consumer of this process reads so."""
    fetcher.MemoryRecords = Fetched


class Fetched:
    """The answer to a fetch, as aiokafka walks through it: batch by batch."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records: Any = MemoryRecords(data)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> "Batch":
        return Batch(self._records.next_batch(), self._data)


class Batch:
    """One batch: aiokafka's own, but for a name that it cannot read."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            # All at once, without a step of ours for each.
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return _read(self._data, self._batch.base_offset)


def _read(data: bytes, base_offset: int) -> Iterator[_DefaultRecordPy]:
    """The records of the batch that begins at this offset, with `\\xff` for each byte of a name that is no UTF-8."""
    batch = _batch_at(data, base_offset)
    batch._maybe_uncompress()
    buffer, pos = batch._buffer, batch._pos
    for _ in range(batch._num_records):
        length, start = decode_varint(buffer, pos)
        pos = start + length
        # The first byte holds attributes that nobody uses.
        passed_ms, at = decode_varint(buffer, start + 1)
        offset, at = decode_varint(buffer, at)
        key, at = _bytes(buffer, at)
        value, at = _bytes(buffer, at)
        count, at = decode_varint(buffer, at)
        headers = []
        for _ in range(count):
            name, at = _bytes(buffer, at)
            held, at = _bytes(buffer, at)
            headers.append(((name or b"").decode(errors="backslashreplace"), held))
        is_append_time = batch.timestamp_type == batch.LOG_APPEND_TIME
        timestamp = batch.max_timestamp if is_append_time else batch.first_timestamp + passed_ms
        yield _DefaultRecordPy(batch.base_offset + offset, timestamp, batch.timestamp_type, key, value, headers)


def _batch_at(data: bytes, base_offset: int) -> Any:
    log = _MemoryRecordsPy(data)
    while (found := log._next_slice) is not None:
        batch = _DefaultRecordBatchPy(found)
        if batch.base_offset == base_offset:
            return batch
        log.next_batch()
    raise LookupError(f"no batch begins at {base_offset}")


def _bytes(buffer: bytearray, pos: int) -> tuple[bytes | None, int]:
    length, pos = decode_varint(buffer, pos)
    return (None, pos) if length < 0 else (bytes(buffer[pos : pos + length]), pos + length)

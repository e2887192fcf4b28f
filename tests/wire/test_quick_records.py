"""What a consumer hands out says the same as aiokafka's own records."""

import gc
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from tests.streams.test_header_names import batch
from wire.quick_records import QuickRecords

#: aiokafka's own, whatever its module hands out by now.
THEIRS = QuickRecords.__mro__[1]
PLACE = TopicPartition("t", 3)
NAMES = ("topic", "partition", "offset", "timestamp", "key", "value")


def test_they_are_what_aiokafka_says() -> None:
    log = batch(5, ["a", "b"]) + batch(7, ["c"])

    ours = QuickRecords(PLACE, MemoryRecords(log), [], 6, None, None, False, READ_COMMITTED)
    theirs = THEIRS(PLACE, MemoryRecords(log), [], 6, None, None, False, READ_COMMITTED)
    pairs = list(zip(ours, theirs, strict=True))

    assert [one.offset for one, _ in pairs] == [6, 7]
    for one, other in pairs:
        assert [getattr(one, name) for name in NAMES] == [getattr(other, name) for name in NAMES]
        assert tuple(one.headers) == other.headers
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 8


def test_as_decoded_they_are_those_that_one_by_one_would_come() -> None:
    log = batch(5, ["a", "b"]) + batch(7, ["c"])

    ours = QuickRecords(PLACE, MemoryRecords(log), [], 6, None, None, False, READ_COMMITTED)
    theirs = THEIRS(PLACE, MemoryRecords(log), [], 6, None, None, False, READ_COMMITTED)
    pairs = list(zip(ours.rest(as_they_are), theirs, strict=True))

    assert [one.offset for one, _ in pairs] == [6, 7]
    for one, other in pairs:
        assert [getattr(one, name) for name in NAMES[2:]] == [getattr(other, name) for name in NAMES[2:]]
        assert tuple(one.headers) == other.headers
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 8
    assert gc.isenabled()


def test_after_one_was_handed_out_the_rest_is_what_is_left() -> None:
    log = batch(5, ["a", "b"]) + batch(7, ["c"])
    records = QuickRecords(PLACE, MemoryRecords(log), [], 5, None, None, False, READ_COMMITTED)

    assert next(records).offset == 5
    assert [record.offset for record in records.rest(as_they_are)] == [6, 7]


def test_what_was_aborted_is_passed_over_and_so_are_markers() -> None:
    log = transaction(0, 7, 2) + transaction(2, 8, 2) + marker(4, 7, commits=False) + marker(5, 8, commits=True)
    log += transaction(6, 7, 1) + marker(7, 7, commits=True)

    found = [
        records(PLACE, MemoryRecords(log), [(7, 0)], 0, None, None, False, READ_COMMITTED)
        for records in (QuickRecords, THEIRS)
    ]

    assert (
        [record.offset for record in found[0].rest(as_they_are)] == [record.offset for record in found[1]] == [2, 3, 6]
    )
    assert found[0].next_fetch_offset == found[1].next_fetch_offset == 8


def test_a_batch_that_cannot_be_read_is_not_passed_over() -> None:
    torn = bytearray(batch(6, ["b"]))
    torn[-20] ^= 0xFF
    records = QuickRecords(
        PLACE, MemoryRecords(batch(5, ["a"]) + bytes(torn) + batch(7, ["c"])), [], 5, None, None, True, READ_COMMITTED
    )

    with pytest.raises(Exception, match="Invalid CRC"):
        records.rest(as_they_are)

    assert records.next_fetch_offset == 6
    assert records.rest(as_they_are) == []
    assert gc.isenabled()


def as_they_are(_: TopicPartition, records: list[Any]) -> list[Any]:
    return records


def transaction(base_offset: int, producer: int, count: int) -> bytes:
    return _batch(base_offset, producer, [(b"k", b"%d" % n) for n in range(count)])


def marker(base_offset: int, producer: int, *, commits: bool) -> bytes:
    built = bytearray(_batch(base_offset, producer, [(b"\0\0\0" + bytes([commits]), bytes(6))]))
    built[22] |= 0x20  # a control batch
    return bytes(built)


def _batch(base_offset: int, producer: int, rows: list[tuple[bytes, bytes]]) -> bytes:
    builder: Any = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, 0, 1 << 16)
    for n, (key, value) in enumerate(rows):
        builder.append(n, 1_000, key, value, [])
    built = bytearray(builder.build())
    built[:8] = base_offset.to_bytes(8, "big")
    return bytes(built)

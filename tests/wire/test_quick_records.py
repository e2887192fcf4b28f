"""What a consumer hands out says the same as aiokafka's own records."""

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.memory_records import MemoryRecords

from streams.quick_records import QuickRecords
from tests.streams.test_header_names import batch

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

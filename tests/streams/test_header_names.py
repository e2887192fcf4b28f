"""Whatever bytes a header is named with, its record is read."""

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streams.header_names import Fetched


class Bytes(str):
    """A header's name that is these bytes on the wire."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def batch(base_offset: int, names: list[str], compression: int = 0) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for n, name in enumerate(names):
        builder.append(n, 1_000 + n, b"k%d" % n, b"v%d" % n, [(Bytes(name), b"h"), ("none", None)])
    built = bytearray(builder.build())
    built[:8] = base_offset.to_bytes(8, "big")
    return bytes(built)


@pytest.mark.parametrize("compression", [0, 1])
def test_a_name_that_is_no_utf_8_is_written_out_and_its_neighbours_are_read_as_ever(compression: int) -> None:
    log = batch(0, ["a"]) + batch(1, ["a", "\xff\xfe", "b"], compression) + batch(4, ["c"])

    records = PartitionRecords(TopicPartition("t", 0), Fetched(log), [], 0, None, None, False, READ_COMMITTED)
    found = list(records)

    assert [(r.offset, r.timestamp, r.key, r.value) for r in found] == [
        (0, 1_000, b"k0", b"v0"),
        (1, 1_000, b"k0", b"v0"),
        (2, 1_001, b"k1", b"v1"),
        (3, 1_002, b"k2", b"v2"),
        (4, 1_000, b"k0", b"v0"),
    ]
    assert [r.headers[0][0] for r in found] == ["a", "a", "\\xff\\xfe", "b", "c"]
    assert {r.headers[1] for r in found} == {("none", None)}
    assert records.next_fetch_offset == 5

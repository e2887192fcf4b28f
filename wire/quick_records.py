"""What a consumer hands out for each record, without what nobody asks for.

aiokafka makes an object with a dict for each record, and looks at its sizes and at deserializers that we do not have:
a quarter of what folding a trivial event costs. Its consumer offers no place to say otherwise, hence `install`.
"""

from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords

from streams.fold import Headers


def install() -> None:
    """From here on every consumer of this process, none of which may have deserializers, hands out these."""
    fetcher.PartitionRecords = QuickRecords


class Read(msgspec.Struct, frozen=True, gc=False):
    """One record as it came, by the names that aiokafka gives them."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class QuickRecords(PartitionRecords):  # type: ignore[misc]
    """The records of one partition in the answer to a fetch."""

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Read:
        return Read(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers)

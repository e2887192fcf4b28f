"""What a consumer hands out for each record, without what nobody asks for.

aiokafka makes an object with a dict for each record, and looks at its sizes and at deserializers that we do not have; then a
generator, an iterator and a list hand it on one by one. Its consumer offers no place to say otherwise, hence `install`.
"""

import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from inspect import GEN_CREATED, getgeneratorstate
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords

T = TypeVar("T")

#: Makes what somebody wants of the records of a batch, which have no topic and no partition of their own.
Make = Callable[[TopicPartition, list[Any]], list[Any]]

_MAKE: ContextVar[Make | None] = ContextVar("make", default=None)


def install() -> None:
    """From here on every consumer of this process, none of which may have deserializers, hands out these."""
    fetcher.PartitionRecords = QuickRecords
    fetcher.FetchResult = QuickResult


async def made_by(make: Make, fetching: Awaitable[T]) -> T:
    """What `fetching` brings, as `make` makes it of the records as they were decoded, a batch at a time."""
    token = _MAKE.set(make)
    try:
        return await fetching
    finally:
        _MAKE.reset(token)


class Read(msgspec.Struct, frozen=True, gc=False):
    """One record as it came, by the names that aiokafka gives them."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class QuickResult(FetchResult):  # type: ignore[misc]
    """The answer to a fetch for one partition."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        make = _MAKE.get()
        if max_records is not None or make is None:
            return super().getall(max_records)  # type: ignore[no-any-return]
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        records: list[Any] = self._partition_records.rest(make)
        self._update_position()
        self._partition_records = None
        return records


class QuickRecords(PartitionRecords):  # type: ignore[misc]
    """The records of one partition in the answer to a fetch."""

    _records: Any
    _tp: TopicPartition

    def rest(self, make: Make) -> list[Any]:
        """What is made of all that was not handed out yet. After a batch that cannot be read there is no more: it is fetched
        again."""
        if getgeneratorstate(self._records_iterator) != GEN_CREATED:
            return make(self._tp, list(self))
        # aiokafka's own loop passes over what was aborted; it is to meet one record for each batch.
        self._records = _Batches(self._records)
        found: list[Any] = []
        # Each record is two objects that the collector of garbage would look at again and again while more of them come:
        # that takes longer than to decode them.
        # (Switched on again whatever it was before: two threads read, and neither may leave it off for good.)
        gc.disable()
        try:
            for run in self:
                found += make(self._tp, run)
        finally:
            gc.enable()
        return found

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Any:
        if type(record) is not _Run:
            return Read(
                tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers
            )
        first = self.next_fetch_offset
        if record.records[0].offset >= first:
            return record.records
        return [each for each in record.records if each.offset >= first]


class _Run(NamedTuple):
    """The records of a batch, in place of one; `offset` is that of the last."""

    offset: int
    records: list[Any]


class _Batches:
    """The answer to a fetch, as aiokafka walks through it."""

    def __init__(self, records: Any) -> None:
        self.has_next = records.has_next
        self._next_batch = records.next_batch

    def next_batch(self) -> "_Batch":
        return _Batch(self._next_batch())


class _Batch:
    """aiokafka's own, but for its records, which come in one go."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[_Run]:
        records = list(self._batch)
        return iter([_Run(records[-1].offset, records)] if records else [])

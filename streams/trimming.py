"""The trail's changelog loses what no row follows from any more: burns that have aged, and identities that are forgotten.

Not by retention, which asks only how old a record is: while no worker runs nothing ages, and then nothing may leave.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from ledger.ageing import aged_until
from ledger.instants import DAY, ORIGIN, Instant
from ledger.rows import Book
from streams.clock import CLOCK, CLOCK_KEY, OBEYED, OBEYED_KEY
from tables.overlay import Overlay
from tables.shard import Shard
from wire.consumer import Consumer
from wire.topics import Topics

log = logging.getLogger(__name__)

EVERY_S: Final = 3_600.0


class Trimmer:
    """Looks at the partitions of this worker once an hour. Only where the clock is the broker's own: its records are found by
    the time at which they were written."""

    def __init__(
        self,
        shards: Callable[[], Mapping[int, Shard]],
        topics: Topics,
        kafka: Mapping[str, Any],
    ) -> None:
        self._shards = shards
        self._topic = topics.name("trail-changelog")
        self._kafka = kafka
        #: Up to when each partition's changelog was trimmed last.
        self._trimmed: dict[int, Instant] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.trim()
            except (KafkaError, OSError) as error:
                log.warning("%s keeps for another hour what could leave it: %r", self._topic, error)
            await asyncio.sleep(EVERY_S)

    async def trim(self) -> None:
        """Deletes what was written before all that a row follows from."""
        due = {}
        for partition, shard in self._shards().items():
            at = unneeded_before(Book(Overlay(shard)))
            if at > self._trimmed.get(partition, ORIGIN):
                due[partition] = at
        if not due:
            return
        times = {TopicPartition(self._topic, partition): at // 1000 for partition, at in due.items()}
        consumer = Consumer(**self._kafka)
        await consumer.start()
        try:
            found = await consumer.offsets_for_times(times)
        finally:
            await consumer.stop()
        # Where nothing was written since, the newest record stays: it says which step these rows are of.
        offsets = {tp: RecordsToDelete(before_offset=one.offset) for tp, one in found.items() if one is not None}
        if offsets:
            admin = AIOKafkaAdminClient(**self._kafka)
            await admin.start()
            try:
                await admin.delete_records(offsets)
            finally:
                await admin.close()
        self._trimmed.update(due)


def unneeded_before(book: Book) -> Instant:
    """No row of the trail follows from what was folded before this instant: it burned no further ahead than was ever allowed,
    or was known no longer, and two brokers' clocks may be a day apart."""
    clock, obeyed = book.load(CLOCK, CLOCK_KEY), book.load(OBEYED, OBEYED_KEY)
    if clock is None or obeyed is None:
        return ORIGIN
    return max(ORIGIN, min(aged_until(book), clock.forgotten) - obeyed.ahead - DAY)

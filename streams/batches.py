"""The batch path through Faust: one event a chunk, and nothing about credits.

Faust's consumer hands out one message for each record, and that path is what a record costs. Its own extension points
let it hand out one message for each chunk of a partition instead: a `Transport` with a `Consumer` whose `getmany`
yields chunks, and a `Schema` that hands them through undecoded.

Where folding starts is part of the transaction of each chunk (streams/transactions.py), so Faust commits nothing: an
acknowledgement here only says that the chunk is done with. What the group is told is for others (streams/group_offsets.py).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, EventT, Message
from mode import Service

from streams import header_names
from streams.fold import Record
from streams.intake import Chunk, Fetched, Intake, Source
from streams.pulse import Pulse
from wire import quick_records
from wire.consumer import Consumer
from wire.topics import INPUTS, Topics

#: How long a fetch waits for records; a seek waits for a fetch.
FETCH_S = 0.25
#: The same while records wait for news of another input.
UNSURE_S = 0.02
#: How long the group may take to note how far inputs are folded.
TELLS_S = 1.0

header_names.install()


class ChunkSchema(Schema[Any, Any]):
    """Hands a chunk through as it is."""

    def compile(self, app: Any, **options: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return cast("EventT[Any]", create_event(message.key, message.value, None, message))

        return decode


class HeardConsumer(Consumer):
    """A consumer of which is known when its group last heard of it."""

    def __init__(self, *args: Any, pulse: Pulse, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pulse = pulse

    async def start(self) -> None:
        await super().start()
        # It joins no group before it has something to read, which comes later.
        self._pulse.watch(self._coordinator)


class ChunkThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread: heartbeats go on while the fold computes."""

    logger = logging.getLogger("faust.worker")

    def _create_worker_consumer(self, transport: Any) -> Consumer:
        conf = self.app.conf
        self._assignor = self.app.assignor
        return HeardConsumer(
            **cast(ChunkTransport, transport).kafka,
            pulse=cast(ChunkTransport, transport).pulse,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 << 20,
            fetch_max_bytes=32 << 20,
            # A fetch for idle topics is answered late; until then their node takes no other.
            fetch_max_wait_ms=100,
            check_crcs=False,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            # Chunks are fetched all the time; what is slow is seen in the lag.
            max_poll_interval_ms=86_400_000,
        )

    async def fetch(
        self, topics: Topics, wanted: Iterable[Source], opened: Iterable[Source], unsure: Iterable[Source]
    ) -> Fetched:
        return cast(Fetched, await self.call_thread(self._fetch, topics, set(wanted), set(opened), set(unsure)))

    async def _fetch(self, topics: Topics, wanted: set[Source], opened: set[Source], unsure: set[Source]) -> Fetched:
        consumer = self._ensure_consumer()
        name = {kind: topics.name(kind) for kind in INPUTS}
        partitions = {TopicPartition(name[kind], partition) for kind, partition in wanted}

        def records_of(place: TopicPartition, found: list[Any]) -> list[Record]:
            return _records(topics.kind(place.topic), place.partition, found)

        found = await quick_records.made_by(
            records_of, self._fetch_records(consumer, partitions, timeout=UNSURE_S if unsure else FETCH_S)
        )
        records = {(topics.kind(tp.topic), tp.partition): found[tp] for tp in found}
        # The look begins after the records have come: what was appended before them lies before these ends.
        arrived = {partition for _, partition in records}
        looked = {source for source in opened if source[1] in arrived} | unsure
        ends = await consumer.end_offsets([TopicPartition(name[kind], partition) for kind, partition in looked])
        return Fetched(
            records,
            {
                (kind, partition): await consumer.position(TopicPartition(name[kind], partition))
                for kind, partition in opened
            },
            {(topics.kind(tp.topic), tp.partition): end for tp, end in ends.items()},
        )

    async def tell(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Notes for the group where it stands. Raises `TimeoutError` where that takes long."""
        await self.call_thread(self._tell, offsets)

    async def _tell(self, offsets: Mapping[TopicPartition, int]) -> None:
        # Here, where it can be ended: it would be tried for ever, under whatever generation there is by then.
        await asyncio.wait_for(self._ensure_consumer().commit(offsets), TELLS_S)

    async def rejoin(self) -> None:
        """Asks the group for a new assignment."""
        await self.call_thread(self._rejoin)

    async def _rejoin(self) -> None:
        self._ensure_consumer()._coordinator.request_rejoin()


def _records(kind: str, partition: int, found: Iterable[Any]) -> list[Record]:
    # Nearly none has headers. A list for each of those that wait would be looked at by the collector of garbage.
    return [Record(kind, partition, r.offset, r.timestamp, r.key, r.value, r.headers or ()) for r in found]


class ChunkConsumer(driver.Consumer):
    """Fetches for all partitions, hands out chunks for those whose hand is free."""

    logger = logging.getLogger("faust.worker")

    _thread: ChunkThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        transport = cast(ChunkTransport, self.transport)
        self.topics = transport.topics
        self.intake = transport.intake
        self._settle = transport.settle
        # Held by each fetch and by each seek. A fetch that were in flight during a seek would bring records from before
        # it, and those after them would be lost for good.
        self._fetching = asyncio.Lock()

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    @Service.task
    async def _fetch_always(self) -> None:
        failed: int | None = None  # the epoch in which the last fetch failed
        while not self.should_stop:
            wanted = self.intake.wanted() if self.flow_active else set()
            if not wanted:
                await self.intake.room(FETCH_S)
                continue
            async with self._fetching:
                epoch = self.intake.epoch
                try:
                    if failed == epoch:
                        # What a fetch had read before it failed came to nobody, but the reader is past it.
                        await self._thread.seek_wait(self._places(self.intake.positions()))
                    failed = None
                    fetched = await self._thread.fetch(self.topics, wanted, self.intake.sources(), self.intake.unsure())
                except ConsumerStoppedError:
                    return
                except (KafkaError, AssertionError, TimeoutError) as error:
                    failed = epoch
                    # Partitions may be taken from us between two lines; the rebalance opens the intake anew.
                    if epoch == self.intake.epoch:
                        self.log.warning("fetch failed, trying again: %r", error)
                    await asyncio.sleep(0.2)
                    continue
                if epoch == self.intake.epoch:
                    self.intake.add(fetched)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109
        """Chunks for the hands that are free."""
        if not self.flow_active:
            await self.wait_first(self.can_resume_flow.wait(), timeout=timeout)
            return
        for chunk in await self.intake.chunks(timeout):
            yield self._message(chunk)

    def _message(self, chunk: Chunk) -> tuple[TP, Message]:
        tp = TP(self.topics.name(INPUTS[-1]), chunk.partition)
        offset, timestamp_ms = (chunk.records[-1].offset, chunk.records[-1].timestamp_ms) if chunk.records else (0, 0)
        message = ConsumerMessage(
            tp.topic, tp.partition, offset, timestamp_ms / 1000, 1, None, None, cast(Any, chunk), None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        # What Faust checks from record to record, the hand checks from chunk to chunk.
        self._read_offset[tp] = None
        return tp, message

    def ack(self, message: Message) -> bool:
        """Says that the chunk is done with; how far that is went with its transaction."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def wait_empty(self) -> None:
        """Returns when no hand is in the middle of a chunk: what is begun is committed before partitions go."""
        self.intake.close()
        await self._settle()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.intake.close()
        await super().on_partitions_revoked(revoked)

    async def start_at(
        self, cursors: Mapping[int, Mapping[str, int | None]], unfinished: Collection[int]
    ) -> Mapping[int, dict[str, int]]:
        """Folds these partitions from these offsets on; None: from the first record that there is. `unfinished`: where the
        fold has work left that needs no record."""
        async with self._fetching:
            self.intake.close()
            sources = {
                TP(self.topics.name(kind), partition): offset
                for partition, offsets in cursors.items()
                for kind, offset in offsets.items()
            }
            firsts = await self.earliest_offsets(*sources) if sources else {}
            starts = {}
            for tp, offset in sources.items():
                if offset is not None and offset < firsts[tp]:
                    self.log.error(
                        "%s-%d: records %d to %d were removed before they were folded; raise SEATSTREAM_HISTORY",
                        tp.topic, tp.partition, offset, firsts[tp] - 1,
                    )  # fmt: skip
                starts[tp] = max(offset or 0, firsts[tp])
            if starts:
                await self._thread.seek_wait(starts)
            opened = {
                partition: {kind: starts[TP(self.topics.name(kind), partition)] for kind in offsets}
                for partition, offsets in cursors.items()
            }
            self.intake.open(opened, unfinished)
            return opened

    def _places(self, offsets: Mapping[Source, int]) -> dict[TP, int]:
        return {TP(self.topics.name(kind), partition): offset for (kind, partition), offset in offsets.items()}

    async def tell(self, offsets: Mapping[Source, int]) -> None:
        """Notes for the group how far inputs are folded, as long as we are in it."""
        await self._thread.tell(
            {TopicPartition(self.topics.name(kind), partition): offset for (kind, partition), offset in offsets.items()}
        )

    async def rejoin(self) -> None:
        """Asks the group for a new assignment."""
        await self._thread.rejoin()

    async def perform_seek(self) -> None:
        """Faust would seek to the group's offsets; where folding starts stands in the state (`start_at`)."""

    async def verify_all_partitions_active(self) -> None:
        """Faust would look for offsets that it committed itself."""


class ChunkTransport(driver.Transport):
    """Kafka for an app that folds in chunks."""

    Consumer = ChunkConsumer

    def __init__(
        self,
        app: Any,
        *,
        topics: Topics,
        kafka: Mapping[str, Any],
        intake: Intake,
        settle: Callable[[], Awaitable[None]],
        pulse: Pulse,
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        # Here, and not where somebody only imports us: Faust's own consumer asks records for more.
        quick_records.install()
        self.pulse = pulse
        self.topics = topics
        self.kafka = kafka
        self.intake = intake
        self.settle = settle

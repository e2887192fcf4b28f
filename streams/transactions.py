"""One writer for each partition, one transaction for each chunk.

The transactional id belongs to the partition, not to the worker. A new owner starts its writer before it looks at the
end of the changelogs: from then on Kafka refuses whoever wrote here before, so a worker that was paused for too long
is fenced instead of writing next to its successor, and what is read up to that end is all there will ever be.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from streams.fold import Headers, Output
from streams.journal import STEP_HEADER, Entry
from streams.journal import write as write_entry
from tables.overlay import Changes, Table
from wire.topics import OUTPUTS, OWN_MESSAGE_BYTES, Topics

CHANGELOGS: Mapping[Table, str] = {"state": "state-changelog", "trail": "trail-changelog"}
#: Below the limit of the topics (wire/topics.py), so that a batch of rows always fits.
BATCH_BYTES = 1 << 20
#: For headers and framing.
ROOM_BYTES = 64 << 10


class Lost(Exception):
    """A transaction did not end in a commit that we know of; only a fresh look at the changelogs tells what is true."""


class TooLarge(Exception):
    """The fold made a message that no topic takes; making it again would not help."""


class Writer:
    """The only one who may write what follows from a partition's inputs."""

    def __init__(self, partition: int, topics: Topics, group: str, kafka: Mapping[str, Any]) -> None:
        self.partition = partition
        self._topics = topics
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=f"{group}-{partition}",
            client_id=f"{group}-{partition}",
            linger_ms=0,
            # The coordinator still finishes the last transaction when the next one asks: a matter of milliseconds.
            retry_backoff_ms=5,
            max_batch_size=BATCH_BYTES,
            max_request_size=OWN_MESSAGE_BYTES,
            # A paused worker must not hold up the readers of committed data for much longer than its own session.
            transaction_timeout_ms=60_000,
        )

    async def start(self) -> None:
        """From here on every earlier writer of this partition is refused, and its open transaction is over."""
        await self._producer.start()

    async def stop(self) -> None:
        # A fenced producer may refuse to stop in order; it has nothing left to say.
        with suppress(Exception):
            await asyncio.wait_for(self._producer.stop(), 5)

    async def commit(self, entry: Entry, rows: Changes, outputs: Iterable[Output]) -> dict[Table, int]:
        """One transaction with all that follows from a step; the next offset of each changelog that it wrote to.

        Where the next chunk starts is among the rows: what was taken in and what follows from it are committed together.
        """
        batches = _Batches(self._producer)
        state, trail = (self._topics.name(CHANGELOGS[table]) for table in ("state", "trail"))
        batches.add_rows(state, self.partition, rows["state"])
        batches.add_rows(trail, self.partition, rows["trail"])
        step = STEP_HEADER, b"%d" % entry.step
        for output in outputs:
            partition = self.partition if output.partition is None else output.partition
            # A fact that is forwarded, or a rule that is copied, stays as it is.
            headers = [*output.headers, step] if output.kind in OUTPUTS else output.headers
            batches.add(self._topics.name(output.kind), partition, output.key, output.value, headers)
        batches.add(self._topics.name("journal"), self.partition, b"%d" % self.partition, write_entry(entry))
        try:
            await self._producer.begin_transaction()
            ends = await batches.send()
            await self._producer.commit_transaction()
        except Exception as error:
            raise Lost(f"the transaction of partition {self.partition} failed: {error!r}") from error
        written: Mapping[Table, str] = {"state": state, "trail": trail}
        return {table: ends[name, self.partition] for table, name in written.items() if (name, self.partition) in ends}


class _Batches:
    """Messages on their way into few large batches."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._batches: dict[tuple[str, int], list[Any]] = {}
        self._now_ms = int(time.time() * 1000)

    def add(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        batches = self._batches.setdefault((topic, partition), [])
        headers = list(headers)
        if batches and batches[-1].append(timestamp=self._now_ms, key=key, value=value, headers=headers):
            return
        if len(key or b"") + len(value or b"") > OWN_MESSAGE_BYTES - ROOM_BYTES:
            raise TooLarge(f"a message of {len(value or b''):,} bytes for {topic} exceeds what the topic takes")
        batches.append(self._producer.create_batch())
        batches[-1].append(timestamp=self._now_ms, key=key, value=value, headers=headers)

    def add_rows(self, topic: str, partition: int, rows: Mapping[bytes, bytes | None]) -> None:
        """As `add`, for many at once: they are most of what is sent."""
        append, now_ms = _full, self._now_ms
        for key, value in rows.items():
            if not append(timestamp=now_ms, key=key, value=value):
                self.add(topic, partition, key, value)
                append = self._batches[topic, partition][-1].append

    async def send(self) -> dict[tuple[str, int], int]:
        """Returns when all have arrived, with the offset after the last one for each partition of a topic."""
        sent = await asyncio.gather(*(self._send(place, batches) for place, batches in self._batches.items()))
        return dict(zip(self._batches, sent, strict=True))

    async def _send(self, place: tuple[str, int], batches: list[Any]) -> int:
        topic, partition = place
        arrivals = [await self._producer.send_batch(batch, topic, partition=partition) for batch in batches]
        # Each must have arrived: a commit would not tell of one that was refused.
        last = (await asyncio.gather(*arrivals))[-1]
        end: int = last.offset + batches[-1].record_count()
        return end


def _full(**message: Any) -> None:
    """As a batch answers that takes no more."""


def _not_fenced(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], ProducerFenced))


# A fenced producer leaves futures that nobody waits for; asyncio would report each of them, whenever it is collected.
# That a writer is fenced is said once, where it matters.
logging.getLogger("asyncio").addFilter(_not_fenced)

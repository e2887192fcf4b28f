"""Alerts on their way to those who do not consume Kafka: read from `threshold-alert`, sent by HTTP, tried again.

The worker that folds a partition delivers its alerts too. What is delivered is remembered as the offsets of a group of its own,
which never pass an alert that is still on its way: after a crash some are sent again, under the same id, and none is lost.
Alerts of one customer to one receiver go one after the other; a receiver that fails holds up nobody else's. One that could
not be delivered for a day becomes a dead letter (`undelivered`); `seatstream redrive` sends it again.
"""

import asyncio
import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from alerts.webhooks import BOUND_S, Receiver, Receivers, ReceiversWrong, body_of, pause_s, read_receivers, receivers_of
from ledger.outcome import Refusal
from streams import metrics
from wire.outputs import WEBHOOK_HEADER, Source, dead_letter
from wire.topics import Topics

log = logging.getLogger(__name__)

#: How long a receiver may take.
PATIENCE_S: Final = 10.0
#: So many alerts of a partition may be on their way; then no more are read.
MOST_UNDERWAY: Final = 5_000
#: How often it is looked which partitions are here, whether the file has changed, and what is delivered.
LOOK_S: Final = 1.0


class Refused(Exception):
    """A receiver that may not be reached, or that did not take a message."""


class ReceiverFile:
    """The file of `SEATSTREAM_WEBHOOKS`, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self.receivers = self._read()

    def look(self) -> None:
        """One that cannot be used leaves the one before in force."""
        try:
            if self._stamp() != self._seen:
                self.receivers = self._read()
                log.info("%s was read again", self._path)
        except (OSError, ReceiversWrong) as error:
            self._seen = self._stamp() if self._path.exists() else None
            log.error("SEATSTREAM_WEBHOOKS: %s; what was read before stays in force", error)

    def _read(self) -> Receivers:
        self._seen = self._stamp()
        return read_receivers(self._path.read_bytes())

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size


class Sender:
    """Sends one message to one receiver. It follows no redirect, and reaches no address that the file does not allow."""

    def __init__(self, receivers: Callable[[], Receivers]) -> None:
        self._receivers = receivers
        connector = aiohttp.TCPConnector(resolver=_Resolver(receivers), limit=64, limit_per_host=8)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def send(self, receiver: Receiver, message_id: str, body: str) -> None:
        """Returns when it was taken. Raises `Refused`, whose text is fit for a log."""
        receivers, host = self._receivers(), urlsplit(receiver.url).hostname or ""
        try:
            with suppress(ValueError):
                # Of an address that is written out no resolver is asked.
                if not receivers.may_reach(host, host):
                    raise Refused(f"{host} is not public; SEATSTREAM_WEBHOOKS may allow it")
            headers = receivers.headers(receiver, message_id, int(time.time()), body)
            async with self._session.post(
                receiver.url, data=body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise Refused(f"{host} answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ReceiversWrong, ValueError) as error:
            said = "took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            raise Refused(f"{host}: {said}") from None

    async def close(self) -> None:
        await self._session.close()


class _Resolver(AbstractResolver):
    """Names only those addresses that may be reached, so that what was checked is what is connected to."""

    def __init__(self, receivers: Callable[[], Receivers]) -> None:
        self._receivers = receivers
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if self._receivers().may_reach(host, one["host"])]
        if not allowed:
            raise PermissionError(errno.EACCES, f"{host} is not public; SEATSTREAM_WEBHOOKS may allow it")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


@dataclass(slots=True)
class Delivery:
    """An alert on its way to one receiver."""

    record: Any
    receiver: Receiver
    message_id: str
    body: str

    @property
    def age_s(self) -> float:
        return time.time() - int(self.record.timestamp) / 1000


class Deliveries:
    """All deliveries of one partition. `dead` is called with what nobody took."""

    def __init__(self, sender: Sender, for_all: Callable[[], Collection[Receiver]], dead: "Dead") -> None:
        self._sender = sender
        self._for_all = for_all
        self._dead = dead
        self._underway: dict[int, int] = {}
        self._queues: dict[tuple[bytes | None, Receiver], deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reached = 0
        self._room = asyncio.Event()

    async def take(self, record: Any) -> None:
        """Puts an alert on its way; waits while too many are."""
        while len(self._underway) >= MOST_UNDERWAY:
            self._room.clear()
            await self._room.wait()
        self._reached = record.offset + 1
        receivers = receivers_of(record.headers, list(self._for_all()))
        if not receivers or time.time() - record.timestamp / 1000 > BOUND_S:
            return
        alert = orjson.loads(record.value)
        message_id, body = f"{alert['alert_id']}_{record.partition}_{record.offset}", body_of(alert)
        self._underway[record.offset] = len(receivers)
        for receiver in receivers:
            delivery = Delivery(record, receiver, message_id, body)
            of = record.key, receiver
            queue = self._queues.get(of)
            if queue is not None:
                queue.append(delivery)
                continue
            self._queues[of] = deque([delivery])
            task = asyncio.ensure_future(self._work(of))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def delivered(self) -> int:
        """Up to which offset nothing is on its way."""
        return min(self._underway, default=self._reached)

    def oldest_s(self) -> float:
        """How long the oldest alert has been on its way."""
        return max((queue[0].age_s for queue in self._queues.values()), default=0.0)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _work(self, of: tuple[bytes | None, Receiver]) -> None:
        queue = self._queues[of]
        while queue:
            delivery = queue[0]
            await self._deliver(delivery)
            queue.popleft()
            offset = delivery.record.offset
            self._underway[offset] -= 1
            if not self._underway[offset]:
                del self._underway[offset]
                self._room.set()
        del self._queues[of]

    async def _deliver(self, delivery: Delivery) -> None:
        tries = 0
        while True:
            try:
                await self._sender.send(delivery.receiver, delivery.message_id, delivery.body)
            except Refused as refused:
                metrics.WEBHOOK_TRIES.labels("failed").inc()
                tries += 1
                if delivery.age_s > BOUND_S:
                    log.warning("alert %s was not delivered for a day and is dead: %s", delivery.message_id, refused)
                    await self._dead(delivery, str(refused))
                    metrics.WEBHOOKS_DEAD.inc()
                    return
                log.info("alert %s is not delivered yet, try %d: %s", delivery.message_id, tries, refused)
                await asyncio.sleep(pause_s(tries))
            else:
                metrics.WEBHOOK_TRIES.labels("delivered").inc()
                return


Dead = Callable[[Delivery, str], Any]


class Courier:
    """The deliveries of all partitions that this worker folds."""

    def __init__(
        self,
        file: ReceiverFile,
        partitions: Callable[[], Collection[int]],
        *,
        topics: Topics,
        group: str,
        kafka: Mapping[str, Any],
    ) -> None:
        self._file = file
        self._partitions = partitions
        self._topics = topics
        self._group = f"{group}-webhooks"
        self._kafka = kafka
        self._routes: dict[int, asyncio.Task[None]] = {}
        self._deliveries: dict[int, Deliveries] = {}
        metrics.WEBHOOK_OLDEST.set_function(self.oldest_s)

    async def run(self) -> None:
        """Until cancelled."""
        sender = Sender(lambda: self._file.receivers)
        try:
            async with AIOKafkaProducer(**self._kafka, enable_idempotence=True) as producer:
                self._producer = producer
                while True:
                    self._file.look()
                    self._follow(sender)
                    await asyncio.sleep(LOOK_S)
        finally:
            for route in self._routes.values():
                route.cancel()
            await asyncio.gather(*self._routes.values(), return_exceptions=True)
            await sender.close()

    def oldest_s(self) -> float:
        return max((of.oldest_s() for of in self._deliveries.values()), default=0.0)

    def _follow(self, sender: Sender) -> None:
        """Delivers for the partitions that are here now, and for no other."""
        here = set(self._partitions())
        for partition in self._routes.keys() - here:
            self._routes.pop(partition).cancel()
        for partition in here:
            route = self._routes.get(partition)
            if route is None or route.done():
                self._routes[partition] = asyncio.ensure_future(self._route(partition, sender))

    async def _route(self, partition: int, sender: Sender) -> None:
        place = TopicPartition(self._topics.name("threshold-alert"), partition)
        deliveries = Deliveries(sender, lambda: self._file.receivers.for_all, self._bury)
        self._deliveries[partition] = deliveries
        consumer = AIOKafkaConsumer(
            **self._kafka, group_id=self._group, enable_auto_commit=False, isolation_level="read_committed"
        )
        try:
            await consumer.start()
            consumer.assign([place])
            done = await consumer.committed(place)
            if done is None:
                # Nobody delivered here yet. What is older than the bound is nobody's any more.
                since = await consumer.offsets_for_times({place: int((time.time() - BOUND_S) * 1000)})
                found = since.get(place)
                done = (await consumer.end_offsets([place]))[place] if found is None else found.offset
            consumer.seek(place, done)
            while True:
                for record in (await consumer.getmany(place, timeout_ms=int(LOOK_S * 1000))).get(place, []):
                    await deliveries.take(record)
                if (reached := deliveries.delivered()) > done:
                    await consumer.commit({place: reached})
                    done = reached
        except KafkaError as error:
            log.warning("alerts of partition %d are not delivered, trying again: %r", partition, error)
        finally:
            deliveries.stop()
            self._deliveries.pop(partition, None)
            await consumer.stop()

    async def _bury(self, delivery: Delivery, why: str) -> None:
        record = delivery.record
        source = Source(
            record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
        )
        refusal = Refusal(code="undelivered", message=f"nobody took it at {delivery.receiver.url}: {why}")
        headers = [(WEBHOOK_HEADER, msgspec.json.encode(delivery.receiver))]
        for letter in dead_letter(source, refusal, delivery.message_id):
            await self._producer.send_and_wait(
                self._topics.name("dead-letter"), letter.value, letter.key, record.partition,
                headers=[*letter.headers, *headers],
            )  # fmt: skip

"""Alerts on their way to those who do not consume Kafka: read from `threshold-alert`, sent by HTTP, tried again.

The worker that folds a partition delivers its alerts too. What is delivered is remembered as the offsets of a group of its own,
which never pass an alert that is still on its way: after a crash some are sent again, under the same id, and none is lost.
Alerts of one customer to one receiver go one after the other. A receiver that fails holds up nobody else's for longer than a
minute or two, even where it has filled its partition: once it is away (nothing was taken for `AWAY_S`), no more than so many
wait for it. One that is slow but takes what it gets sets the pace of its partition once it has filled it.

What waits beyond that, what could not be delivered for a day, and what no try can deliver becomes a dead letter
(`undelivered`); `seatstream redrive --code undelivered` sends it again. After a crash it may become one twice.
"""

import asyncio
import errno
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from yarl import URL

from alerts.webhooks import BOUND_S, Receiver, Receivers, ReceiversWrong, body_of, pause_s, read_receivers, receivers_of
from ledger.outcome import Refusal
from streams import metrics
from wire.consumer import Consumer
from wire.fields import is_http
from wire.outputs import WEBHOOK_HEADER, Source, dead_letter
from wire.topics import OWN_MESSAGE_BYTES, Topics

log = logging.getLogger(__name__)

#: How long a receiver may take.
PATIENCE_S: Final = 10.0
#: So many deliveries of a partition may be on their way; then no more alerts are read.
MOST_UNDERWAY: Final = 5_000
#: So many of them may wait for receivers that are away, and so many for one of these.
MOST_HELD_UP: Final = 4_000
MOST_FOR_ONE: Final = 1_000
#: A receiver is away when it has failed for so long.
AWAY_S: Final = 30.0
#: Why a dead letter is one that a webhook did not take.
UNDELIVERED: Final = "undelivered"
#: How often it is looked which partitions are here, whether the file has changed, and what is delivered.
LOOK_S: Final = 1.0


class Refused(Exception):
    """A receiver that may not be reached, or that did not take a message."""


class Hopeless(Refused):
    """What no other try would change."""


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
        connector = aiohttp.TCPConnector(resolver=_Resolver(receivers), limit=256, limit_per_host=8)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def send(self, receiver: Receiver, message_id: str, body: str) -> None:
        """Returns when it was taken. Raises `Refused` and nothing else; its text is fit for a log."""
        host = ""
        try:
            url = _address(receiver.url)
            receivers, host = self._receivers(), url.raw_host or ""
            if not _may_be_asked(receivers, host):
                raise Refused(f"{host} is not public; SEATSTREAM_WEBHOOKS may allow it")
            headers = receivers.headers(receiver, message_id, int(time.time()), body)
            async with self._session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise Refused(f"{host} answered {answer.status}")
        except Refused:
            raise
        except aiohttp.InvalidURL as error:
            raise Hopeless(f"{host}: {type(error).__name__}: {error}") from None
        except Exception as error:
            said = "took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            raise Refused(f"{host}: {said}") from None

    async def close(self) -> None:
        await self._session.close()


def _address(text: str) -> URL:
    """What is connected to: read once, so that it is also what was checked."""
    try:
        url = URL(text) if is_http(text) else None
    except ValueError:
        url = None
    if url is None or not url.raw_host:
        raise Hopeless("its url is no http address with a host in ASCII")
    return url


def _may_be_asked(receivers: Receivers, host: str) -> bool:
    """Of an address that is written out no resolver is asked; whatever a name stands for, the resolver looks at."""
    try:
        return receivers.may_reach(host, host)
    except ValueError:
        return ":" not in host


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


Dead = Callable[[Delivery, str], Awaitable[None]]
#: Alerts of one customer to one receiver: they go in order.
Line = tuple[bytes | None, Receiver]


class Deliveries:
    """All deliveries of one partition. `dead` is called with what nobody took, until it returns."""

    def __init__(self, sender: Sender, for_all: Callable[[], Collection[Receiver]], dead: Dead) -> None:
        self._sender = sender
        self._for_all = for_all
        self._dead = dead
        #: How many receivers have not yet got the alert at an offset.
        self._underway: dict[int, int] = {}
        self._queues: dict[Line, deque[Delivery]] = {}
        self._waiting: Counter[Receiver] = Counter()
        #: Since when a line, and a receiver, have only failed.
        self._failing: dict[Line | Receiver, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reached = 0
        self._many = 0
        self._room = asyncio.Event()

    async def take(self, record: Any) -> None:
        """Puts an alert on its way; waits while too many are."""
        while self._many >= MOST_UNDERWAY:
            self._room.clear()
            await self._room.wait()
        receivers = receivers_of(record.headers, list(self._for_all()))
        if receivers:
            alert = orjson.loads(record.value)
            message_id, body = f"{alert['alert_id']}_{record.partition}_{record.offset}", body_of(alert)
            self._underway[record.offset] = len(receivers)
        self._reached = record.offset + 1
        for receiver in receivers:
            delivery, line = Delivery(record, receiver, message_id, body), (record.key, receiver)
            if delivery.age_s > BOUND_S:
                await self._bury(delivery, "it came here when it was more than a day old")
            elif self._is_too_much(line, more=1):
                await self._bury(delivery, "too many wait for this receiver, which is away")
            else:
                self._queue(line, delivery)

    def delivered(self) -> int:
        """Up to which offset nothing is on its way."""
        return min(self._underway, default=self._reached)

    def oldest_s(self) -> float:
        """How long the oldest alert has been on its way."""
        return max((queue[0].age_s for queue in self._queues.values() if queue), default=0.0)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _queue(self, line: Line, delivery: Delivery) -> None:
        self._many += 1
        self._waiting[delivery.receiver] += 1
        if line in self._queues:
            self._queues[line].append(delivery)
            return
        self._queues[line] = deque([delivery])
        task = asyncio.ensure_future(self._work(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, line: Line) -> None:
        """Delivers what is in a line, until it is empty."""
        queue, tries = self._queues[line], 0
        while queue:
            delivery = queue[0]
            refused = await self._try(line, delivery)
            if refused is None:
                self._leaves(queue.popleft())
                self._settle(delivery)
                tries = 0
                continue
            tries += 1
            if isinstance(refused, Hopeless) or delivery.age_s > BOUND_S:
                self._leaves(queue.popleft())
                await self._bury(delivery, str(refused))
                tries = 0
                continue
            while queue and self._is_too_much(line):
                # The newest, so that what is left follows on what was delivered.
                self._leaves(last := queue.pop())
                await self._bury(last, f"too many wait for this receiver, which is away: {refused}")
            if queue and queue[0] is delivery:
                log.info("alert %s is not delivered yet, try %d: %s", delivery.message_id, tries, refused)
                await asyncio.sleep(pause_s(tries))
            else:
                tries = 0
        del self._queues[line]
        self._failing.pop(line, None)

    async def _try(self, line: Line, delivery: Delivery) -> Exception | None:
        """Why it was not taken."""
        try:
            await self._sender.send(delivery.receiver, delivery.message_id, delivery.body)
        except Exception as error:
            metrics.WEBHOOK_TRIES.labels("failed").inc()
            if not isinstance(error, Hopeless):
                for name in (line, delivery.receiver):
                    self._failing.setdefault(name, time.monotonic())
            return error
        metrics.WEBHOOK_TRIES.labels("delivered").inc()
        for name in (line, delivery.receiver):
            self._failing.pop(name, None)
        return None

    async def _bury(self, delivery: Delivery, why: str) -> None:
        """Until Kafka takes it: an alert that is neither delivered nor buried would be lost."""
        tries = 0
        while True:
            try:
                await self._dead(delivery, why)
            except Exception as error:
                tries += 1
                log.warning("alert %s is not buried yet, try %d: %r", delivery.message_id, tries, error)
                await asyncio.sleep(pause_s(tries))
            else:
                break
        log.warning("alert %s was not delivered and is dead: %s", delivery.message_id, why)
        metrics.WEBHOOKS_DEAD.inc()
        self._settle(delivery)

    def _leaves(self, delivery: Delivery) -> None:
        """It is in no queue any more."""
        self._many -= 1
        self._waiting[delivery.receiver] -= 1
        if not self._waiting[delivery.receiver]:
            del self._waiting[delivery.receiver]
            self._failing.pop(delivery.receiver, None)
        self._room.set()

    def _settle(self, delivery: Delivery) -> None:
        """It is delivered or buried."""
        offset = delivery.record.offset
        self._underway[offset] -= 1
        if not self._underway[offset]:
            del self._underway[offset]

    def _is_too_much(self, line: Line, more: int = 0) -> bool:
        """Whether more waits than may for the receiver of a line that is away."""
        if not self._is_away(line):
            return False
        receiver = line[1]
        # What is cheap to know is asked first: mostly it is enough.
        return (self._waiting[receiver] + more > MOST_FOR_ONE and self._held_up(receiver) + more > MOST_FOR_ONE) or (
            self._many + more > MOST_HELD_UP and self._held_up() + more > MOST_HELD_UP
        )

    def _held_up(self, receiver: Receiver | None = None) -> int:
        """How many wait for a receiver that is away; for any, if none is named."""
        if receiver is not None and self._has_failed_long(receiver):
            return self._waiting[receiver]
        return sum(
            len(queue) for line, queue in self._queues.items() if receiver in (None, line[1]) and self._is_away(line)
        )

    def _is_away(self, line: Line) -> bool:
        """A receiver may take from one customer what it does not take from another."""
        return self._has_failed_long(line) or self._has_failed_long(line[1])

    def _has_failed_long(self, name: Line | Receiver) -> bool:
        since = self._failing.get(name)
        return since is not None and time.monotonic() - since >= AWAY_S


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
            async with AIOKafkaProducer(
                **self._kafka, enable_idempotence=True, max_request_size=OWN_MESSAGE_BYTES
            ) as producer:
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
        consumer = Consumer(
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
            async with asyncio.TaskGroup() as both:
                both.create_task(self._read(consumer, place, deliveries))
                both.create_task(self._remember(consumer, place, deliveries, done))
        except* KafkaError as errors:
            log.warning("alerts of partition %d are not delivered, trying again: %r", partition, errors.exceptions)
        except* Exception:
            log.exception("alerts of partition %d are not delivered, trying again", partition)
        finally:
            deliveries.stop()
            self._deliveries.pop(partition, None)
            await consumer.stop()

    async def _read(self, consumer: Consumer, place: TopicPartition, deliveries: Deliveries) -> None:
        while True:
            for record in (await consumer.getmany(place, timeout_ms=int(LOOK_S * 1000))).get(place, []):
                await deliveries.take(record)

    async def _remember(self, consumer: Consumer, place: TopicPartition, deliveries: Deliveries, done: int) -> None:
        """Also while too many are on their way to read on: what is delivered is not delivered again."""
        while True:
            await asyncio.sleep(LOOK_S)
            if (reached := deliveries.delivered()) > done:
                await consumer.commit({place: reached})
                done = reached

    async def _bury(self, delivery: Delivery, why: str) -> None:
        record = delivery.record
        source = Source(
            record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
        )
        refusal = Refusal(code=UNDELIVERED, message=f"nobody took it at {delivery.receiver.url}: {why}")
        headers = [(WEBHOOK_HEADER, msgspec.json.encode(delivery.receiver))]
        for letter in dead_letter(source, refusal, delivery.message_id):
            await self._producer.send_and_wait(
                self._topics.name("dead-letter"), letter.value, letter.key, record.partition,
                headers=[*letter.headers, *headers],
            )  # fmt: skip

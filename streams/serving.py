"""The cluster as the window sees it: whose rows are here, what they answer, and whether we may still say so."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import Any, Final, Literal, TypeVar

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ledger.instants import Instant
from ledger.rows import Book
from streams.breathing import in_breaths
from streams.clock import Clock
from streams.hands import Hand, Hands
from streams.intake import Intake
from streams.outcomes import ASKED, Outcomes
from streams.pulse import Pulse
from streams.recent import Recent
from streams.settings import Settings
from tables.shard import ShardLook
from web.cluster import (
    Answered,
    AsOf,
    Away,
    Elsewhere,
    Figures,
    Here,
    Nobody,
    PartitionNow,
    Place,
    Publication,
    Shared,
    View,
)
from web.server import build, runner
from web.tokens import Tokens
from wire.topics import Topics

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A worker that is further behind than that is not ready.
READY_MS: Final = 30_000
#: So many customers' partitions are remembered: finding one is a walk over the bytes of its id.
MOST_KEYS: Final = 10_000
#: How long a look at the rows is shared where no commit ends it, and how many customers' accounts it may keep.
LOOK_S: Final = 0.5
MOST_SHARED: Final = 8
#: How long Kafka may take to take a fact in.
PUBLISH_S: Final = 10.0

#: Which worker, by its address, has which partition, as the group said last.
Assignment = Callable[[], Mapping[int, str]]


class Serving:
    """This worker's partitions, for questions. Everything runs on the loop on which they are folded."""

    def __init__(
        self,
        *,
        topics: Topics,
        clock: Literal["system", "topic"],
        kafka: Mapping[str, Any],
        hands: Hands,
        intake: Intake,
        outcomes: Outcomes,
        pulse: Pulse,
        assignment: Assignment,
        url: str,
    ) -> None:
        self.partitions = topics.partitions
        self._topics = topics
        #: Whose partition is asked for again and again.
        self._partition_of = lru_cache(maxsize=MOST_KEYS)(lambda key: topics.partition_of(key.encode()))
        self.clock = clock
        self._kafka = kafka
        self._hands = hands
        self._intake = intake
        self._outcomes = outcomes
        self._pulse = pulse
        self._assignment = assignment
        self._url = url
        self.recent = Recent()
        #: Who asks, and whose questions are being ended.
        self._asking: set[asyncio.Task[Any]] = set()
        self._leaving: set[asyncio.Task[Any]] = set()
        self._left = asyncio.Event()
        #: The newest look at each partition's rows.
        self._looks: dict[int, _Looked] = {}
        self._producer: AIOKafkaProducer | None = None
        self._producing = asyncio.Lock()
        hands.on_settling.append(self._let_go)
        hands.on_committed.append(lambda partition, _: self._forget(partition))
        hands.on_committed.append(outcomes.committed)
        hands.on_dropped.append(self._forget)
        hands.on_dropped.append(outcomes.dropped)

    # --- where ---

    def owner(self, key: str) -> Place:
        return self._place(self._partition_of(key))

    def owners(self) -> list[Place]:
        return [self._place(partition) for partition in range(self.partitions)]

    def _place(self, partition: int) -> Place:
        hand = self._hands.hand(partition)
        if hand is not None:
            if hand.stopped is not None:
                return Nobody(partition, f"partition {partition} stands still; the worker's log says why", 5)
            if not self._pulse.is_fresh():
                return Nobody(
                    partition, "this worker has not heard of Kafka for too long: others may have its partitions"
                )
            return Here(partition)
        url = self._assignment().get(partition)
        if url is None:
            return Nobody(partition, f"no worker has partition {partition} yet")
        if url == self._url:
            return Nobody(partition, f"partition {partition} is being restored")
        return Elsewhere(partition, url)

    def _here(self, partition: int) -> Hand:
        place, hand = self._place(partition), self._hands.hand(partition)
        if isinstance(place, Here) and hand is not None:
            return hand
        raise Away(place if isinstance(place, Nobody) else Nobody(partition, f"partition {partition} has moved"))

    # --- questions ---

    async def ask(self, partition: int, question: Callable[[View], T], within_s: float = inf) -> T:
        hand = self._here(partition)
        looked = self._looked(partition, hand)
        as_of = self._as_of(partition, hand, looked.clock)
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        looked.askers += 1
        try:
            answer = await in_breaths(
                lambda breathe: question(View(looked.look, looked.clock, as_of, breathe, looked.shared)),
                within_s=within_s,
            )
        except asyncio.CancelledError:
            if task not in self._leaving:
                raise
            # Not who asks was ended, but what is asked.
            task.uncancel()
            self._here(partition)
            raise Away(Nobody(partition, f"partition {partition} has moved")) from None
        finally:
            self._asking.discard(task)
            self._leaving.discard(task)
            looked.askers -= 1
            looked.close_if_over()
            if not self._leaving:
                self._left.set()
        # Whoever was paused while it computed must not answer from the past.
        if self._here(partition) is not hand:
            raise Away(Nobody(partition, f"partition {partition} has moved"))
        return answer

    def _looked(self, partition: int, hand: Hand) -> "_Looked":
        """The rows as they are: those who ask between two commits share one look at them."""
        looked = self._looks.get(partition)
        if looked is not None and looked.hand is hand and looked.step == hand.step:
            return looked
        self._forget(partition)
        look = hand.shard.look()
        looked = self._looks[partition] = _Looked(hand, hand.step, look, Clock(Book(look), self.clock).now)
        # Where nothing is committed, whoever tidies the disk is not to be kept from it.
        asyncio.get_running_loop().call_later(LOOK_S, self._end, partition, looked)
        return looked

    def _end(self, partition: int, looked: "_Looked") -> None:
        if self._looks.get(partition) is looked:
            self._forget(partition)

    def _forget(self, partition: int) -> None:
        """Nobody else is to ask of the last look."""
        looked = self._looks.pop(partition, None)
        if looked is not None:
            looked.is_over = True
            looked.close_if_over()

    def _as_of(self, partition: int, hand: Hand, clock: int) -> AsOf:
        ends = self._intake.waiting(partition)
        lag = sum(max(0, (end or 0) - hand.cursor[kind]) for kind, (_, end) in ends.items())
        oldest = hand.oldest_ms or self._intake.oldest_ms(partition)
        behind_ms = 0 if oldest is None else max(0, int(time.time() * 1000) - oldest)
        offsets = {f"{kind}-{partition}": offset for kind, offset in hand.cursor.items()}
        return AsOf(offsets, clock, lag, behind_ms)

    async def _let_go(self) -> None:
        """Ends all questions: nobody else can open rows that somebody looks at."""
        for partition in list(self._looks):
            self._forget(partition)
        self._leaving |= self._asking
        for task in self._leaving:
            task.cancel()
        if self._leaving:
            self._left.clear()
            await self._left.wait()

    # --- facts ---

    async def publish(
        self, partition: int, facts: Sequence[Publication], timeout_s: float
    ) -> tuple[list[Answered], AsOf]:
        hand = self._here(partition)
        asked = [self._outcomes.ask() for _ in facts]
        try:
            producer = await self._started_producer()
            for fact, (name, _) in zip(facts, asked, strict=True):
                topic = self._topics.name(fact.topic)
                key = None if fact.key is None else fact.key.encode()
                await producer.send(topic, fact.value, key=key, partition=partition, headers=[(ASKED, name)])
            await asyncio.wait([future for _, future in asked], timeout=timeout_s)
        except KafkaError as error:
            raise Away(Nobody(partition, f"Kafka takes nothing in: {type(error).__name__}")) from error
        finally:
            for name, _ in asked:
                self._outcomes.forget(name)
        answered = [Answered(future.result() if future.done() else None) for _, future in asked]
        hand = self._here(partition)
        return answered, self._as_of(partition, hand, self._time(hand))

    def _time(self, hand: Hand) -> int:
        look = hand.shard.look()
        try:
            return Clock(Book(look), self.clock).now
        finally:
            look.close()

    async def _started_producer(self) -> AIOKafkaProducer:
        async with self._producing:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._kafka,
                    linger_ms=0,
                    enable_idempotence=True,
                    max_request_size=4 << 20,
                    request_timeout_ms=int(PUBLISH_S * 1000),
                )
                await producer.start()
                self._producer = producer
        return self._producer

    async def close(self) -> None:
        await self._let_go()
        if self._producer is not None:
            await self._producer.stop()

    # --- for operators ---

    def overview(self) -> list[PartitionNow]:
        return [self._now(partition) for partition in range(self.partitions)]

    def _now(self, partition: int) -> PartitionNow:
        place, hand = self._place(partition), self._hands.hand(partition)
        match place:
            case Elsewhere(url=url):
                return PartitionNow(partition, url, "elsewhere", "", 0, 0, None)
            case Nobody(reason=reason) if hand is None:
                restored = self._assignment().get(partition) == self._url
                return PartitionNow(partition, "", "recovering" if restored else "nobody", reason, 0, 0, None)
        assert hand is not None
        clock = self._time(hand)
        as_of = self._as_of(partition, hand, clock)
        why = hand.stopped or (place.reason if isinstance(place, Nobody) else "")
        state: Literal["standing still", "folding"] = "standing still" if why else "folding"
        return PartitionNow(partition, self._url, state, why, as_of.lag, as_of.behind_ms, clock)

    def figures(self) -> Figures:
        return self.recent.figures()

    def ready(self) -> str | None:
        if not self._pulse.is_fresh():
            return "not in the group"
        ours = {partition for partition, url in self._assignment().items() if url == self._url}
        for partition in sorted(ours):
            now = self._now(partition)
            if now.state != "folding":
                return f"partition {partition}: {now.state}"
            if now.behind_ms > READY_MS:
                return f"partition {partition} is {now.behind_ms / 1000:.0f} s behind"
        return None

    def metrics(self) -> tuple[bytes, str]:
        return generate_latest(), CONTENT_TYPE_LATEST


class _Looked:
    """A look at the rows of a partition between two commits, and who asks of it."""

    def __init__(self, hand: Hand, step: int, look: ShardLook, clock: Instant) -> None:
        self.hand = hand
        self.step = step
        self.look = look
        self.clock = clock
        self.shared = Shared(MOST_SHARED)
        self.askers = 0
        #: Nobody else asks of it.
        self.is_over = False

    def close_if_over(self) -> None:
        if self.is_over and not self.askers:
            self.look.close()


class Window(Service):
    """The server of SEATSTREAM_WEB. It is there before the first partition is, and says so."""

    def __init__(self, serving: Serving, settings: Settings, tokens: Tokens | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._serving = serving
        self._settings = settings
        self._tokens = tokens
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        settings, tokens = self._settings, self._tokens
        self._runner = runner(build(self._serving, tokens))
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.web_host, settings.web_port).start()
        log.info(
            "serving http://%s:%d %s", settings.web_host, settings.web_port,
            "to this machine alone: SEATSTREAM_TOKENS names no file of tokens" if tokens is None else "to who has a token",
        )  # fmt: skip

    @Service.task
    async def _look(self) -> None:
        await self._serving.recent.run()

    async def on_stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self._serving.close()

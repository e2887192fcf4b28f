"""A cluster in memory: each worker of it serves real HTTP, and they share their partitions as real ones do."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
import orjson
from aiohttp import web

from alerts.watcher import Memory, Watcher
from ledger import instants
from ledger.facts import AnyFact
from ledger.instants import ORIGIN, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome
from ledger.rows import Table
from tables.memory import MemoryRows
from tests.ledger.language import BOUNDS
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
from wire.codec import Unreadable, read
from wire.control import Tick, read_control
from wire.rules import Archived, Rule, read_rule
from wire.topics import partition_of

T = TypeVar("T")


class Written(MemoryRows):
    """Rows that know how often they were written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.written += 1
        super().put(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        self.written += 1
        super().delete(table, key)


@dataclass
class Partition:
    """One partition's rows, folded by whoever asks."""

    rows: Written = field(default_factory=Written)
    clock: Instant = ORIGIN
    folded: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.rows, **BOUNDS)

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        self.clock = max(self.clock, arrived_at)
        self.ledger.advance(arrived_at)
        watcher = Watcher(self.rows, Memory())
        outcome = self.ledger.fold(fact, arrived_at)
        self.ledger.flush()
        if isinstance(outcome, Folded):
            watcher.note(fact, outcome)
        list(watcher.close(self.clock))
        self.folded += 1
        return outcome

    def watch(self, said: Mapping[str, Any]) -> None:
        """A rule, applied to all that exists."""
        rule = read_rule(None, orjson.dumps(said))
        assert isinstance(rule, Rule)
        watcher = Watcher(self.rows, Memory())
        watcher.rule(rule, self.clock)
        list(watcher.close(self.clock))

    def pass_to(self, now: Instant) -> None:
        """Time passes."""
        self.clock = now
        self.ledger.advance(now)
        self.ledger.flush()
        list(Watcher(self.rows, Memory()).close(now))


class Partitions:
    """What all workers share: the facts. `urls` says who has which partition; None: nobody."""

    def __init__(self, count: int = 4) -> None:
        self.all = [Partition() for _ in range(count)]
        self.urls: list[str | None] = [None] * count
        #: That were said over HTTP.
        self.rules: list[Rule | Archived] = []

    def of(self, customer_id: str) -> int:
        return partition_of(customer_id.encode(), len(self.all))

    def fold(self, facts: Sequence[AnyFact], arrived_at: Instant | None = None) -> list[Outcome]:
        return [
            self.all[self.of(fact.customer_id)].fold(fact, fact.time if arrived_at is None else arrived_at)
            for fact in facts
        ]


class MemoryWorker:
    """One worker's window on the partitions."""

    def __init__(self, shared: Partitions) -> None:
        self.shared = shared
        self.partitions = len(shared.all)
        self.url = ""
        self.clock: Literal["system", "topic"] = "topic"
        #: Set by a test: what happens while a question is computed.
        self.meanwhile: Callable[[], object] = lambda: None
        self.why_not_ready: str | None = None
        #: Of late.
        self.did = Figures(seconds=60.0, facts=0, events=0, within={0.1: 0, 1.0: 0}, refusals={}, refusals_ever={})
        #: What this worker believes instead of what is so.
        self.mistaken: dict[int, Place] = {}
        self._asked: dict[int, tuple[tuple[int, Instant], Shared]] = {}

    def owner(self, key: str) -> Place:
        return self._place(self.shared.of(key))

    def owners(self) -> list[Place]:
        return [self._place(partition) for partition in range(self.partitions)]

    def _place(self, partition: int) -> Place:
        if partition in self.mistaken:
            return self.mistaken[partition]
        url = self.shared.urls[partition]
        if url is None:
            return Nobody(partition, "the partition is being taken over", 2)
        return Here(partition) if url == self.url else Elsewhere(partition, url)

    async def ask(self, partition: int, question: Callable[[View], T], within_s: float) -> T:
        held = self.shared.all[partition]
        answer = question(View(held.rows, held.clock, self._as_of(partition), shared=self._shared(partition)))
        self.meanwhile()
        if not isinstance(self._place(partition), Here):
            raise Away(Nobody(partition, "the partition left meanwhile"))
        return answer

    def _shared(self, partition: int) -> Shared:
        """As in life, questions of the same rows share what they work out."""
        held = self.shared.all[partition]
        now = held.rows.written, held.clock
        if partition not in self._asked or self._asked[partition][0] != now:
            self._asked[partition] = now, Shared(8)
        return self._asked[partition][1]

    def _as_of(self, partition: int) -> AsOf:
        held = self.shared.all[partition]
        return AsOf({f"credit-burn-{partition}": held.folded}, held.clock, 0, 0)

    async def publish(
        self, partition: int, facts: Sequence[Publication], timeout_s: float
    ) -> tuple[list[Answered], AsOf]:
        held = self.shared.all[partition]
        answered = []
        for published in facts:
            answered.append(Answered(self._became(held, published)))
        return answered, self._as_of(partition)

    def _became(self, held: Partition, published: Publication) -> Outcome:
        match published.topic:
            case "control":
                tick = read_control(published.value)
                assert isinstance(tick, Tick) and published.key is None
                held.clock = max(held.clock, tick.time)
                return Folded(result={"time": instants.text(held.clock)})
            case "alert-rule":
                rule = read_rule(None if published.key is None else published.key.encode(), published.value)
                assert not isinstance(rule, Unreadable)
                self.shared.rules.append(rule)
                return Folded(result={"archived": isinstance(rule, Archived)})
        fact = read(published.topic, None, published.value)  # type: ignore[arg-type]
        assert not isinstance(fact, Unreadable)
        return held.fold(fact, max(held.clock, fact.time))

    def overview(self) -> list[PartitionNow]:
        return [self._now(partition) for partition in range(self.partitions)]

    def _now(self, partition: int) -> PartitionNow:
        clock = self.shared.all[partition].clock
        match self._place(partition):
            case Here():
                return PartitionNow(partition, self.url, "folding", "", 0, 0, None if clock == ORIGIN else clock)
            case Elsewhere(url=url):
                return PartitionNow(partition, url, "elsewhere", "", 0, 0, None)
            case Nobody(reason=reason):
                return PartitionNow(partition, "", "nobody", reason, 0, 0, None)

    def figures(self) -> Figures:
        return self.did

    def ready(self) -> str | None:
        return self.why_not_ready

    def metrics(self) -> tuple[bytes, str]:
        return b"seatstream_up 1\n", "text/plain; version=0.0.4"


class Server:
    """One worker, served; questions to it answer status, headers and body."""

    def __init__(self, worker: MemoryWorker, session: aiohttp.ClientSession, app: web.Application) -> None:
        self.worker = worker
        self.app = app
        self.session = session

    @property
    def url(self) -> str:
        return self.worker.url

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        """The JSON that a path answers."""
        async with self.session.get(self.url + path, **options) as answer:
            assert answer.status == status, (answer.status, await answer.text())
            return await answer.json(content_type=None)

    async def raw(self, method: str, path: str, **options: Any) -> tuple[int, Mapping[str, str], str]:
        async with self.session.request(method, self.url + path, **options) as answer:
            return answer.status, answer.headers, await answer.text()


class Stage(AsyncExitStack):
    """Servers over shared partitions, closed at the end."""

    def __init__(self, partitions: int = 4) -> None:
        super().__init__()
        self.shared = Partitions(partitions)

    async def serve(self, tokens: Path | None = None) -> Server:
        """One more worker. It has the partitions that nobody has."""
        worker = MemoryWorker(self.shared)
        app = build(worker, None if tokens is None else Tokens(tokens, clock=_Eager()))
        running = runner(app)
        await running.setup()
        self.push_async_callback(running.cleanup)
        site = web.TCPSite(running, "127.0.0.1", 0)
        await site.start()
        host, port = running.addresses[0][:2]
        worker.url = f"http://{host}:{port}"
        self.shared.urls = [worker.url if url is None else url for url in self.shared.urls]
        session = await self.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        return Server(worker, session, app)


class _Eager:
    """A clock of which every look is later by more than anybody waits."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 10.0
        return self._now


@asynccontextmanager
async def served(
    facts: Sequence[AnyFact] = (), *, partitions: int = 4, tokens: Path | None = None
) -> AsyncIterator[Server]:
    """One worker that has everything."""
    async with Stage(partitions) as stage:
        stage.shared.fold(facts)
        yield await stage.serve(tokens)


class InThread:
    """One worker that has everything, on a loop of its own: for whoever asks without one."""

    def __init__(self, partitions: int = 4, tokens: Path | None = None) -> None:
        self.shared: Partitions
        self.url = ""
        self._partitions = partitions
        self._tokens = tokens
        self._started, self._ended = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        async with served(partitions=self._partitions, tokens=self._tokens) as server:
            self.shared, self.url = server.worker.shared, server.url
            self._loop = asyncio.get_running_loop()
            self._started.set()
            await self._ended.wait()

    def fold(self, facts: Sequence[tuple[AnyFact, Instant]]) -> None:
        def fold() -> None:
            for fact, arrived_at in facts:
                self.shared.fold([fact], arrived_at)

        self.do(fold)

    def do(self, act: Callable[[], object]) -> None:
        """On the server's own thread."""

        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(60)

    def __enter__(self) -> "InThread":
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)


__all__ = ["InThread", "MemoryWorker", "Partitions", "Server", "Stage", "served"]

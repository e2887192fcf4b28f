"""A scene for engine tests: facts that go in, workers that come and go, and what must be true at the end."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from tables.shard import Shard
from tables.store import Memory
from tests.kafka.nursery import Born
from tests.streams.summing import LINE
from wire.topics import INPUTS, Topics, ensure

ROOT = Path(__file__).parents[2]
_DAY_MS = 86_400_000


class Scene:
    """One prefix on the broker with its facts, its workers and its expectations."""

    #: What a worker of this scene runs, and what it is told beside where everything is.
    program = "tests.kafka.summing_worker"
    settings: Mapping[str, str] = {}

    def __init__(self, broker: str, prefix: str, directory: Path, partitions: int = 4) -> None:
        self.broker = broker
        self.kafka = {"bootstrap_servers": broker}
        self.directory = directory
        self.topics = Topics(prefix, partitions, 1, 92 * _DAY_MS)
        self.sums: Counter[bytes] = Counter()
        self.counts: Counter[int] = Counter()
        self.workers: list[Worker] = []
        self._chance = random.Random(11)

    async def prepare(self) -> None:
        self.topics = await ensure(self.topics, self.kafka)

    @asynccontextmanager
    async def traffic(self, per_second: int) -> AsyncIterator[None]:
        """Facts keep coming in while this is open; at the end all of them are published."""
        over = asyncio.Event()
        publishing = asyncio.create_task(self.publish(10**9, per_second, over))
        try:
            yield
        finally:
            over.set()
            await publishing

    async def publish(self, count: int, per_second: int | None = None, over: asyncio.Event | None = None) -> None:
        """Sends facts to two inputs, as fast as it goes or at a pace; fewer than `count` when it is over before."""
        producer = AIOKafkaProducer(**self.kafka, linger_ms=5, max_batch_size=1 << 18)
        await producer.start()
        begun = time.monotonic()
        try:
            for n in range(count):
                if over is not None and over.is_set():
                    break
                key, amount = b"c-%03d" % self._chance.randrange(300), self._chance.randrange(10)
                kind = self._chance.choice(("credit-burn", "credit-burn", "credit-burn", "seat-change"))
                partition = self.topics.partition_of(key)
                value = orjson.dumps({"amount": amount})
                await producer.send(self.topics.name(kind), value, key=key, partition=partition)
                self.sums[key] += amount
                self.counts[partition] += 1
                if per_second and n % 50 == 0:
                    await asyncio.sleep(max(0.0, begun + n / per_second - time.monotonic()))
        finally:
            await producer.stop()

    async def publish_raw(self, kind: str, partition: int, value: bytes) -> None:
        async with AIOKafkaProducer(**self.kafka) as producer:
            await producer.send_and_wait(self.topics.name(kind), value, key=b"raw", partition=partition)

    def environment(self, disk: Path) -> dict[str, str]:
        """What a program of ours is told here."""
        return {
            "SEATSTREAM_BROKER": self.broker.replace(",", ";"),
            "SEATSTREAM_PREFIX": self.topics.prefix,
            "SEATSTREAM_PARTITIONS": str(self.topics.partitions),
            "SEATSTREAM_DATA": str(disk),
            "SEATSTREAM_SESSION": "PT6S",
            **self.settings,
        }

    def worker(self, name: str, **variables: str) -> "Worker":
        """A worker process with a disk of its own; the same name is the same disk. `variables`: what this one is told."""
        worker = Worker(self, self.directory / name, variables)
        self.workers.append(worker)
        return worker

    async def folded(self, patience_s: float = 60, *, but: frozenset[int] = frozenset()) -> None:
        """Returns when the group has taken in everything that was published."""
        sources = [
            TopicPartition(self.topics.name(kind), partition)
            for kind in INPUTS
            for partition in range(self.topics.partitions)
            if partition not in but
        ]
        group = f"{self.topics.prefix}seatstream"
        async with AIOKafkaConsumer(**self.kafka, group_id=group, enable_auto_commit=False) as reader:
            reader.assign(sources)
            ends = {tp: end for tp, end in (await reader.end_offsets(sources)).items() if end}
            deadline = time.monotonic() + patience_s
            while True:
                behind = [tp for tp, end in ends.items() if (await reader.committed(tp) or 0) < end]
                if not behind:
                    return
                assert time.monotonic() < deadline, f"not folded after {patience_s} s: {behind}\n{self._last_words()}"
                await asyncio.sleep(0.2)

    async def read(self, kind: str) -> list[ConsumerRecord]:
        """Everything committed in a topic, partition by partition."""
        tps = [TopicPartition(self.topics.name(kind), partition) for partition in range(self.topics.partitions)]
        async with AIOKafkaConsumer(**self.kafka, isolation_level="read_committed", enable_auto_commit=False) as reader:
            reader.assign(tps)
            ends = await reader.end_offsets(tps)
            for tp, start in (await reader.beginning_offsets(tps)).items():
                reader.seek(tp, start)
            found = []
            while any([await reader.position(tp) < ends[tp] for tp in tps]):
                for records in (await reader.getmany(timeout_ms=200)).values():
                    found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def must_be_exact(self) -> None:
        """Sums, outputs and journal say the same: everything once, nothing lost, nothing doubled."""
        rows = {record.key: record.value for record in await self.read("state-changelog")}
        assert {key[1:]: int(value) for key, value in rows.items() if key[:1] == b"s"} == dict(self.sums)

        crossings = defaultdict(list)
        for record in await self.read("threshold-alert"):
            crossings[record.key].append(int(record.value))
        assert crossings == {
            key: list(range(1, total // LINE + 1)) for key, total in self.sums.items() if total >= LINE
        }

        await self.steps_must_follow_on()

    async def steps_must_follow_on(self) -> None:
        """Each transaction took in what comes after the one before it."""
        reached: dict[tuple[int, str], int] = {}
        for record in await self.read("journal"):
            for kind, (start, stop) in orjson.loads(record.value)["inputs"].items():
                follows = reached.get((record.partition, kind), 0)
                assert start == follows, f"{kind}-{record.partition}: {start} to {stop} were taken in after {follows}"
                reached[record.partition, kind] = stop

    def on_disk(self, *names: str) -> tuple[dict[bytes, int], dict[int, int]]:
        """The sums and the counts in RocksDB, once the workers with these disks are gone."""
        sums: dict[bytes, int] = {}
        counts: dict[int, int] = {}
        for name in names:
            for path in (self.directory / name).glob("*/*/state-*"):
                shard = Shard(int(path.name.removeprefix("state-")), path.parent, Memory())
                sums |= {key[1:]: int(value) for key, value in shard.scan("state", b"s", b"t")}
                counts[shard.partition] = int(shard.get("trail", b"count") or 0)
                shard.close()
        return sums, counts

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()

    def _last_words(self) -> str:
        return "\n".join(f"{worker.log.name}:\n{worker.log.read_text()[-4000:]}" for worker in self.workers)


class Worker:
    """A worker in a process of its own."""

    def __init__(self, scene: Scene, disk: Path, variables: Mapping[str, str]) -> None:
        disk.mkdir(parents=True, exist_ok=True)
        self.log = disk.with_suffix(f".{time.monotonic_ns()}.log")
        environment = {**os.environ, **scene.environment(disk), **variables}
        self.process: Born | subprocess.Popen[bytes]
        if scene.program.startswith("tests."):
            self.process = Born(scene.program, environment, self.log)
            return
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *scene.program.split()],
                cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    async def says(self, words: str, patience_s: float = 40, times: int = 1) -> None:
        """Returns when these words stand in its log."""
        deadline = time.monotonic() + patience_s
        while self.log.read_text().count(words) < times:
            assert self.process.poll() is None, f"the worker ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"never said {words!r}:\n{self.log.read_text()[-4000:]}"
            await asyncio.sleep(0.1)

    async def folds(self) -> None:
        await self.says("folding partitions")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def stop(self, patience_s: float = 20) -> int:
        """Ends it in order; its exit code."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, patience_s)

"""A scene under load for as long as faults come: histories of many customers with all features, late, repeated, jittered,
unreadable, oversized and lost on their way; and how long each partition stands still."""

import asyncio
import random
import shutil
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from ledger import instants
from ledger.instants import DAY, SECOND, Instant
from tables.shard import TABLES, Shard
from tables.store import Memory
from tests.alerts.drawn import draw_rule
from tests.kafka.ledger_scene import BOUNDS, FACT_TOPICS, LedgerScene, agreed, histories, retold
from tests.kafka.scene import Worker
from tests.kafka.verifying import verify
from wire.control import tick
from wire.rules import Metric, RuleScope, write_rule
from wire.topics import INPUTS

PARTITIONS: Final = 4
#: How many stories there are, how many are told at a time, and for how long; and how often each partition hears of a burn
#: beside them.
KNOWN, STORIES, STORY_S, PULSE_S = 48, 6, 20.0, 0.5
#: Rules that hold throughout: scope, metric, the partition of whom it concerns if that is one, and levels.
LINES: Final[Sequence[tuple[RuleScope, Metric, int | None, int, int, int]]] = (
    ("seat", "balance", None, 10, 5, 0),
    ("pool", "balance_percent", None, 80, 40, 0),
    ("contract", "balance", 0, 100, 50, 0),
    ("subscription", "seats_over", None, 2, 1, 0),
)
#: What is drawn, what only where time goes at its own pace (after a leap the naive model would look at each hour of it);
#: how many rules may be drawn at a time, and how often.
METRICS: Final[tuple[Metric, ...]] = ("balance", "balance_percent", "seats_over", "seats_used_percent")
BY_TIME: Final[tuple[Metric, ...]] = ("days_to_expiry", "time_to_empty")
RULES, RULE_S = 6, 2.0
#: A disk that can be filled, where that may be mounted: with room for the logs of all stores of a worker, old and new.
DISK_MB: Final = 512

#: Where each input ends.
Ends = Mapping[TopicPartition, int]


class NotMoving(AssertionError):
    """A partition stands still for longer than it may."""


class FaultScene(LedgerScene):
    """Everything that a campaign happens to."""

    program = "tests.faults.worker"

    def __init__(self, broker: str, directory: Path, seed: int, *, clock: str, replication: int, broken: str) -> None:
        super().__init__(broker, "", directory, PARTITIONS)
        self.settings = {**self.settings, "SEATSTREAM_CLOCK": clock, "SEATSTREAM_REPLICATION": str(replication)}
        if broken:
            self.settings |= {"SEATSTREAM_TEST_BREAK": broken}
        self.replication = replication
        self.chance = random.Random(f"load of {seed}")
        self.clock = clock
        self.time: Instant = time.time_ns() // 1000
        self.facts = 0
        self._mounted: list[Path] = []
        self._sending: list[asyncio.Task[None]] = []

    # --- load ---

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Facts keep coming in while this is open; at the end, time has passed for all that waits."""
        async with AIOKafkaProducer(
            **self.kafka, linger_ms=0, compression_type="gzip", max_request_size=4 << 20
        ) as sender:
            if self.clock == "topic":
                await self.jump(sender, 0)
            await self._draw_lines(sender)
            loads = [self._stories, self._pulse, self._rules, *([self._ticks] if self.clock == "topic" else [])]
            self._sending = [asyncio.create_task(load(sender)) for load in loads]
            try:
                yield
                self.must_be_loaded()
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.wait(self._sending)
            await asyncio.sleep(BOUNDS["wait"] / SECOND + 0.5)
            await self.jump(sender, 10)
            for partition in range(PARTITIONS):
                await self._send(sender, "credit-burn", partition, b"time passes", b"{}")

    def must_be_loaded(self) -> None:
        """Raises what has ended the load."""
        for task in self._sending:
            if task.done():
                task.result()

    async def _stories(self, sender: AIOKafkaProducer) -> None:
        for chapter in count():
            told = []
            for n in range(STORIES):
                story = retold(self.chance.choice(histories(KNOWN)), 0, f"~{chapter}.{n}")
                if self.chance.random() < 0.3:
                    # What it says lies ahead, and happens by itself while faults come.
                    ahead = retold(story, (time.time_ns() // 1000 - max(f.time for f in story)) // SECOND * SECOND, "+")
                    ahead = retold(ahead, self.chance.randrange(5, 40) * SECOND, "")
                    story = ahead if agreed(ahead) else story
                told.append(self._tell_one(sender, chapter * STORIES + n, story, STORY_S))
            await asyncio.gather(*told)

    async def _draw_lines(self, sender: AIOKafkaProducer) -> None:
        """Rules that hold from the beginning to the end, for everyone and for one customer."""
        for scope, metric, customer, *levels in LINES:
            name = f"{metric} of each {scope}" if customer is None else f"{metric} of one {scope}"
            said = [str(level) for level in levels]
            rule: dict[str, object] = {"rule_id": name, "name": name, "metric": metric, "scope": scope, "levels": said}
            if customer is not None:
                rule["customer_id"] = self._name_in(customer, 0)
            await self._send_rule(sender, name, orjson.dumps(rule))

    async def _rules(self, sender: AIOKafkaProducer) -> None:
        """Rules come, change and go: for everyone, for one customer, and some that nobody can read."""
        metrics = METRICS if self.clock == "topic" else (*METRICS, *BY_TIME)
        while True:
            await asyncio.sleep(self.chance.random() * 2 * RULE_S)
            name = f"drawn {self.chance.randrange(RULES)}"
            what = self.chance.random()
            if what < 0.2:
                gone = orjson.dumps({"rule_id": name, "archived": True})
                await self._send_rule(sender, name, self.chance.choice((None, gone)))
            elif what < 0.25:
                await self._send_rule(sender, name, b'{"rule_id": "another"}')
            else:
                rule = draw_rule(self.chance, name, metrics)
                if rule.customer_id is not None:
                    rule = msgspec.structs.replace(rule, customer_id=self.chance.choice(sorted(self.instants)))
                await self._send_rule(sender, name, write_rule(rule))

    async def _send_rule(self, sender: AIOKafkaProducer, name: str, rule: bytes | None) -> None:
        key = name.encode()
        await self._send(sender, "alert-rule", self.topics.partition_of(key), key, rule)

    async def _pulse(self, sender: AIOKafkaProducer) -> None:
        """Burns of a customer in each partition, jittered by up to a minute, now and then twice or in the wrong place."""
        for beat in count():
            for partition in range(PARTITIONS):
                name = self._name_in(partition, beat // 100)
                now = time.time_ns() // 1000
                if beat % 100 == 0:
                    signed = {
                        "type": "contract.created", "id": "signed", "customer_id": name, "contract_id": "c",
                        "time": instants.text(now - DAY), "starting_at": instants.text(now - DAY),
                        "grants": [{"grant_id": "g", "amount": "120"}],
                    }  # fmt: skip
                    self.instants[name] = [now - DAY, now]
                    await self._send(sender, "contract-change", partition, name.encode(), orjson.dumps(signed))
                burn = {
                    "id": f"b{beat}", "customer_id": name, "contract_id": "c", "seat_id": f"s{beat % 7}",
                    "amount": str(self.chance.randrange(1, 5)),
                    "time": instants.text(now - self.chance.randrange(60) * SECOND),
                }  # fmt: skip
                value, kind = orjson.dumps(burn), "credit-burn"
                await self._send(sender, kind, partition, name.encode(), value)
                if self.chance.random() < 0.05:
                    await self._send(sender, kind, partition, name.encode(), value)
                if self.chance.random() < 0.05:
                    astray = orjson.dumps({**burn, "id": f"astray{beat}"})
                    await self._send(sender, kind, (partition + 1) % PARTITIONS, None, astray)
                if self.chance.random() < 0.01:
                    await self._send(
                        sender, self.chance.choice(FACT_TOPICS), partition, name.encode(), b"0" * 1_200_000
                    )
                if self.chance.random() < 0.02:
                    poison = self.chance.choice((None, b"", b"\xff", b'{"id": "x"', b"[]"))
                    await self._send(sender, self.chance.choice(FACT_TOPICS), partition, b"?", poison)
            await asyncio.sleep(PULSE_S)

    def _name_in(self, partition: int, chapter: int) -> str:
        names = (f"busy-{chapter}-{n}" for n in count())
        return next(name for name in names if self.topics.partition_of(name.encode()) == partition)

    async def _ticks(self, sender: AIOKafkaProducer) -> None:
        while True:
            await asyncio.sleep(1)
            await self.jump(sender, 1)

    async def jump(self, sender: AIOKafkaProducer, seconds: int) -> None:
        """Where the clock is a topic, it is so much later."""
        self.time += seconds * SECOND
        if self.clock == "topic":
            for partition in range(PARTITIONS):
                await self._send(sender, "control", partition, None, tick(self.time))

    async def _send(
        self, producer: AIOKafkaProducer, kind: str, partition: int, key: bytes | None, value: bytes | None
    ) -> None:
        while True:
            try:
                await producer.send_and_wait(self.topics.name(kind), value, key=key, partition=partition)
                self.facts += 1
                return
            except KafkaError:
                # Its broker is gone; what was sent may have arrived, and then comes twice.
                await asyncio.sleep(0.2)

    # --- how long a partition stands still ---

    async def ends(self) -> Ends:
        """Where each input ends now."""
        places = [TopicPartition(self.topics.name(kind), p) for kind in INPUTS for p in range(PARTITIONS)]
        async with AIOKafkaConsumer(**self.kafka, enable_auto_commit=False) as reader:
            ends: Ends = await reader.end_offsets(places)
            return ends

    async def moving(self, ends: Ends, patience_s: float) -> None:
        """Returns when every partition has folded all that was there, and a burn that came after it."""
        deadline = time.monotonic() + patience_s
        burns = self.topics.name("credit-burn")
        wanted = {tp: end + (tp.topic == burns) for tp, end in ends.items() if end or tp.topic == burns}
        while wanted:
            with suppress(KafkaError, TimeoutError):
                async with AIOKafkaConsumer(
                    **self.kafka, group_id="seatstream", enable_auto_commit=False, request_timeout_ms=5_000
                ) as reader:
                    reader.assign(list(wanted))
                    while wanted and time.monotonic() < deadline:
                        tp, offset = next(iter(wanted.items()))
                        if (await asyncio.wait_for(reader.committed(tp), 5) or 0) >= offset:
                            del wanted[tp]
                        else:
                            await asyncio.sleep(0.1)
            if wanted and time.monotonic() > deadline:
                raise NotMoving(f"after {patience_s:.0f} s: {sorted((*tp, n) for tp, n in wanted.items())}")

    # --- disks ---

    def mount(self, name: str) -> bool:
        """Gives a worker a disk of its own that can be filled; False where nothing may be mounted."""
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(path)]
        with suppress(OSError):
            if subprocess.run(mounting, capture_output=True, check=False).returncode == 0:
                self._mounted.append(path)
                return True
        return False

    def wipe(self, name: str) -> None:
        for path in (self.directory / name).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def stores(self, name: str) -> list[Path]:
        return sorted(path for path in (self.directory / name).glob("*/*/*-*") if path.suffix != ".aside")

    def heal(self, names: Collection[str]) -> list[str]:
        """Takes stores away that are torn and that no worker has met since: what they held is in the changelogs."""
        torn = []
        for name in names:
            for path in self.stores(name):
                if path.name.startswith("state-") and _is_torn(path):
                    shutil.rmtree(path)
                    shutil.rmtree(path.with_name(path.name.replace("state", "trail")), ignore_errors=True)
                    torn.append(f"{name}/{path.name}")
        return torn

    # --- the end ---

    async def must_be_proved(self, names: Sequence[str]) -> None:
        """`seatstream verify` finds all of it, and on each disk nothing else."""
        for name in names:
            code, said = await asyncio.to_thread(verify, self, name)
            assert code == 0, f"verify with the disk of {name}:\n{said}"
            assert said.count("the same; ") == PARTITIONS, said

    async def prepare(self) -> None:
        if self.replication > 1:
            self.topics = type(self.topics)("", PARTITIONS, self.replication, self.topics.history_ms)
        await super().prepare()

    def end(self) -> None:
        super().end()
        for path in self._mounted:
            subprocess.run(["umount", "-l", str(path)], check=False)


def is_stopped(worker: Worker) -> bool:
    """Whether it stands still, as after SIGSTOP."""
    try:
        state = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "T"


def _is_torn(path: Path) -> bool:
    """Read as it is: opened as a worker would, it would be set aside."""
    try:
        shard = Shard(int(path.name.rpartition("-")[2]), path.parent, Memory(), read_only=True)
        with closing(shard):
            for table in TABLES:
                deque(shard.scan(table, b"", b"\xff" * 16), maxlen=0)
    except Exception:
        return True
    return False

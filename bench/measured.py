"""A worker that `bench.stream` measures: in a process of its own, with a gate that opens when it is told to.

    python -m bench.measured engine|ledger|plain-engine|plain-ledger

It reads orders from its standard input and answers each with a line: JSON both ways. Only what the gate lets through is
folded, so all that is measured is there before the measuring begins.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import msgspec
import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ledger.rows import Breathe
from streams import app as engine
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.hands import Hands
from streams.settings import Settings, read
from streams.transactions import Writer
from streams.wiring import build
from streams.worker import work
from tables import store
from tables.overlay import DROP, Overlay, Table
from tables.shard import TABLES, Shard
from wire.topics import Topics

#: A sum that reaches this is told.
LINE = 50
#: How often somebody looks whether all is done, and whether all that was to be said is said.
LOOK_S = 0.01

#: For each input, the offset after the last record of each partition.
Ends = Mapping[str, Sequence[int]]


def main() -> int:
    name = sys.argv[1]
    # Faust's worker writes to standard output too.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if name.startswith("plain-"):
        return run_plain(sum_of if name == "plain-engine" else None, answers)
    measured = Measured(answers)

    def built(settings: Settings, topics: Topics) -> engine.App:
        if name == "ledger":
            return measured.watch(build(settings, topics, web=False))
        return measured.watch(engine.create(settings, topics, sum_of, web=False))

    return work(built, "warning")


class Burn(msgspec.Struct, gc=False):
    """What a sum has to know."""

    id: str
    customer_id: str
    seat_id: str
    amount: float


_burn = msgspec.json.Decoder(Burn, strict=False).decode


def sum_of(partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe) -> Iterator[Output]:
    """A fold that only sums, each sum read and written once a batch: what is measured is the engine."""
    sums: dict[tuple[str, str], float] = {}
    for record in records:
        if record.kind != "credit-burn":
            continue
        burn = _burn(record.value or b"")
        seat = burn.customer_id, burn.seat_id
        old = sums.get(seat)
        if old is None:
            old = float(rows.get("state", _key(seat)) or 0)
        new = sums[seat] = old + burn.amount
        if old < LINE <= new:
            yield Output("threshold-alert", record.key, orjson.dumps({"key": "|".join(seat), "id": burn.id}))
    for seat, total in sums.items():
        rows.put("state", _key(seat), b"%f" % total)


def _key(seat: tuple[str, str]) -> bytes:
    return "|".join(seat).encode()


async def obey(fold: Callable[[Ends], Awaitable[dict[str, Any]]], others: Mapping[str, Any], answers: TextIO) -> None:
    """Does what it is told until nobody is there to tell."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        answer = await fold(order["fold"]) if "fold" in order else others[order["do"]]()
        print(json.dumps(answer), file=answers)
    # The way down is not what is measured.
    os._exit(0)


async def _until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - what is looked at tells nobody
        await asyncio.sleep(LOOK_S)


def resident_mb() -> float:
    """As it is now, where the system says so; else the most that it ever was."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# --- the engine ------------------------------------------------------------------------------------------------------


class Measured:
    """A worker of the stream, its gate, and what is noted of its transactions."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._app: engine.App
        self._is_open = False
        self._commits: list[float] = []
        self._written: Counter[str] = Counter()
        self._restored: tuple[int, float] = 0, 0.0
        self._counts = "BENCH_COUNTS" in os.environ
        self._time_commits()
        self._time_restoring()

    def watch(self, app: engine.App) -> engine.App:
        self._app = app
        wanted = app.intake.wanted
        app.intake.wanted = lambda: wanted() if self._is_open else set()  # type: ignore[method-assign]
        app.task(lambda: obey(self._fold, {"open": self._open, "stand": self._stand}, self._answers))
        return app

    async def _fold(self, until: Ends) -> dict[str, Any]:
        """Opens the gate until all of it is folded, and what is to be said of it is said."""
        self._commits.clear()
        self._written.clear()
        cpu = time.process_time()
        self._open()
        await _until(lambda: self._is_folded(until))
        answer = {
            "ended": time.time(),
            "cpu_s": time.process_time() - cpu,
            "rss_mb": resident_mb(),
            "commits_ms": sorted(self._commits),
            "written": dict(self._written),
        }
        await _until(lambda: all(shard.get("state", store.UNFINISHED) is None for shard in self._shards()))
        self._is_open = False
        return answer | {"said": time.time()}

    def _is_folded(self, until: Ends) -> bool:
        stopped = self._app.hands.stopped()
        if stopped:
            # Nobody would ever be done.
            print(json.dumps({"failed": str(stopped)}), file=self._answers)
            os._exit(1)
        cursors = self._app.hands.cursors()
        return bool(cursors) and all(
            cursor[kind] >= ends[partition] for partition, cursor in cursors.items() for kind, ends in until.items()
        )

    def _open(self) -> dict[str, Any]:
        self._is_open = True
        self._app.intake._room.set()
        return {}

    def _stand(self) -> dict[str, Any]:
        rows, seconds = self._restored
        return {"partitions": len(self._app.hands.cursors()), "restored": rows, "restore_s": seconds}

    def _shards(self) -> Iterator[Shard]:
        for partition in self._app.hands.cursors():
            shard = self._app.shards.get(partition)
            assert shard is not None
            yield shard

    def _time_commits(self) -> None:
        commit = Writer.commit

        async def timed(writer: Writer, entry: Any, rows: Any, outputs: Any) -> Any:
            begun = time.perf_counter()
            ends = await commit(writer, entry, rows, outputs)
            self._commits.append((time.perf_counter() - begun) * 1000)
            if self._counts:
                self._count(rows, outputs)
            return ends

        Writer.commit = timed  # type: ignore[method-assign, assignment]

    def _count(self, rows: Mapping[str, Mapping[bytes, bytes | None]], outputs: Sequence[Output]) -> None:
        for table, changed in rows.items():
            self._written[f"{table} rows"] += len(changed)
            self._written[f"{table} bytes"] += sum(len(key) + len(value or b"") for key, value in changed.items())
        for output in outputs:
            self._written[f"{output.kind} messages"] += 1
            self._written[f"{output.kind} bytes"] += len(output.key or b"") + len(output.value or b"")

    def _time_restoring(self) -> None:
        restoring = Hands._restore

        async def timed(hands: Hands, *args: Any) -> int:
            begun = time.perf_counter()
            rows = await restoring(hands, *args)
            self._restored = rows, time.perf_counter() - begun
            return rows

        Hands._restore = timed  # type: ignore[method-assign, assignment]


# --- plain Faust -----------------------------------------------------------------------------------------------------


class FaustRows:
    """Rows in two tables of Faust's own. A hash table knows no order, so the keys are in memory beside it: better than such
    an agent could have it."""

    def __init__(self, tables: Mapping[Table, Any], partition: int) -> None:
        self._tables = tables
        # Each partition numbers its customers by itself; these tables are for all of them.
        self._mine = bytes([partition])
        self._keys: dict[Table, list[bytes]] = {"state": [], "trail": []}

    def get(self, table: Table, key: bytes) -> bytes | None:
        found: bytes | None = self._tables[table].get(self._mine + key)
        return found

    def scan(self, table: Table, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        keys = self._keys[table]
        found = keys[bisect_left(keys, start) : bisect_left(keys, end)]
        for key in reversed(found) if reverse else found:
            yield key, self._tables[table][self._mine + key]

    def write(self, table: Table, key: bytes, value: bytes | None) -> None:
        keys = self._keys[table]
        at = bisect_left(keys, key)
        there = at < len(keys) and keys[at] == key
        if value is None:
            if there:
                del keys[at]
                self._tables[table].pop(self._mine + key, None)
            return
        if not there:
            insort(keys, key)
        self._tables[table][self._mine + key] = value


def run_plain(fold: Any, answers: TextIO) -> int:
    """An agent as one writes it first: an event at a time, tables with changelogs, what leaves is sent on the way; at least
    once. `fold`: None is the ledger's."""
    import faust  # noqa: PLC0415

    settings = read()
    settings.data.mkdir(parents=True, exist_ok=True)
    topics = settings.topics
    fold = fold or Bookkeeper(settings, topics)
    name = f"{settings.group}-plain"
    # It would look at them before all of Kafka knows them.
    asyncio.run(_make([f"{name}-{table}-changelog" for table in TABLES], settings))
    app = faust.App(
        name,
        broker=f"kafka://{settings.broker[0]}",
        store="rocksdb://",
        datadir=str(settings.data),
        topic_partitions=topics.partitions,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    kinds = ("contract-change", "credit-burn")
    sources = app.topic(*map(topics.name, kinds), partitions=topics.partitions, key_type=bytes, value_type=bytes)
    outputs = {
        kind: app.topic(topics.name(kind), key_type=bytes, value_type=bytes)
        for kind in ("threshold-alert", "history-snapshot", "dead-letter")
    }
    tables: dict[Table, Any] = {
        "state": app.Table("state", partitions=topics.partitions, key_type=bytes, value_type=bytes),
        "trail": app.Table("trail", partitions=topics.partitions, key_type=bytes, value_type=bytes),
    }
    partitions = [FaustRows(tables, partition) for partition in range(topics.partitions)]
    gate, count = asyncio.Event(), 0

    @app.agent(sources)
    async def fold_events(stream: Any) -> None:
        nonlocal count
        async for event in stream.events():
            await gate.wait()
            message = event.message
            rows = partitions[message.partition]
            overlay = Overlay(rows)
            timestamp_ms = int(message.timestamp * 1000)
            kind = topics.kind(message.topic)
            record = Record(kind, message.partition, message.offset, timestamp_ms, message.key, message.value, [])
            for output in fold(message.partition, [record], overlay, _go_on):
                if output is not UNFINISHED:
                    await outputs[output.kind].send(key=output.key, value=output.value)
            for table, changed in overlay.rows().items():
                for key, value in changed.items():
                    if not key.startswith(DROP):  # nothing is old enough here
                        rows.write(table, key, value)
            count += 1

    async def fold_until(until: Ends) -> dict[str, Any]:
        cpu, all_of_it = time.process_time(), sum(map(sum, until.values()))
        gate.set()
        await _until(lambda: count >= all_of_it)
        await app.producer.flush()
        ended = time.time()
        gate.clear()
        return {"ended": ended, "said": ended, "cpu_s": time.process_time() - cpu, "rss_mb": resident_mb()}

    app.task(lambda: obey(fold_until, {"stand": lambda: {"partitions": topics.partitions}}, answers))
    logging.disable(logging.WARNING)
    app.Worker(loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()
    return 0


async def _make(names: Sequence[str], settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, settings.topics.partitions, 1) for name in names])
        while any(not topic["partitions"] for topic in await admin.describe_topics(list(names))):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


def _go_on() -> None:
    """Nobody waits."""


if __name__ == "__main__":
    sys.exit(main())

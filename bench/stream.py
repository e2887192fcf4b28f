"""Burns per second through Kafka: the engine, and a plain Faust agent with the same fold, in one sitting.

    python -m bench.stream [--events 300000] [--plain-events 20000] [--only engine,plain] [--broker host:port]

First with a fold that only sums, which shows the engine alone, then with the full ledger (bench/stream_ledger.py).

Both read the same topic from its beginning, in a process of their own, with RocksDB and a changelog. Only the engine is
exactly once: outputs, rows and offsets in one transaction for each chunk. The plain agent is at least once.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

CUSTOMERS, SEATS, LINE = 2_000, 5, 50
PARTITIONS = 4
NAMES = {
    "engine": "engine alone, exactly once",
    "plain": "plain Faust agent, at least once",
    "ledger": "full ledger, exactly once",
    "plain-ledger": "plain Faust agent, same ledger",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=300_000, help="for the engine")
    parser.add_argument("--plain-events", type=int, default=20_000, help="for the plain agent, which is slower")
    parser.add_argument("--broker", help="host:port of a Kafka; without it, one is started")
    parser.add_argument("--ledger-events", type=int, default=60_000, help="for the full ledger")
    parser.add_argument("--plain-ledger-events", type=int, default=8_000, help="for a plain agent with it")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--run", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        return _run(args.run)
    sizes = dict(
        zip(NAMES, (args.events, args.plain_events, args.ledger_events, args.plain_ledger_events), strict=True)
    )
    with _broker(args.broker) as broker, tempfile.TemporaryDirectory() as directory:
        found = {
            name: _measure(name, size, broker, Path(directory))
            for name, size in sizes.items()
            if name in (args.only or NAMES)
        }
    print(table(found))
    return 0


def _run(name: str) -> int:
    if name.endswith("ledger"):
        from bench import stream_ledger  # noqa: PLC0415

        return run_engine(stream_ledger.fold_of) if name == "ledger" else stream_ledger.run_plain(Meter())
    return run_engine(sum_of) if name == "engine" else run_plain()


def table(found: dict[str, dict[str, float]]) -> str:
    lines = [f"{'variant':<36}{'events/s':>10}{'CPU us/event':>14}{'RSS MB':>8}{'commit p50':>12}{'p99 ms':>8}"]
    for name, of in found.items():
        commits = f"{of['p50_ms']:>12.1f}{of['p99_ms']:>8.1f}" if "p50_ms" in of else ""
        lines.append(f"{NAMES[name]:<36}{of['per_s']:>10,.0f}{of['cpu_us']:>14.1f}{of['rss_mb']:>8.0f}{commits}")
    for name, plain in (("engine", "plain"), ("ledger", "plain-ledger")):
        if name in found and plain in found:
            times = found[name]["per_s"] / found[plain]["per_s"]
            lines.append(f"{NAMES[name].partition(',')[0]}: {times:.1f} times as much as the plain agent")
    return "\n".join(lines)


@contextlib.contextmanager
def _broker(named: str | None) -> Iterator[str]:
    if named:
        yield named
        return
    from streams.broker import Broker  # noqa: PLC0415

    with Broker() as running:
        yield running.bootstrap


def _measure(name: str, events: int, broker: str, directory: Path) -> dict[str, float]:
    prefix = f"bench-{name}-{os.urandom(3).hex()}-"
    environment = {
        "SEATSTREAM_BROKER": f"kafka://{broker}",
        "SEATSTREAM_PREFIX": prefix,
        "SEATSTREAM_PARTITIONS": str(PARTITIONS),
        "SEATSTREAM_DATA": str(directory / name),
        "BENCH_EVENTS": str(events),
    }
    print(f"{name}: publishing {events:,} burns", file=sys.stderr)
    if name.endswith("ledger"):
        from bench import stream_ledger  # noqa: PLC0415

        asyncio.run(stream_ledger.publish(environment, events))
    else:
        asyncio.run(_publish(environment, events))
    print(f"{name}: folding them", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "bench.stream", "--run", name],
        env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True, timeout=600,
    )  # fmt: skip
    # Faust's worker writes to the terminal too.
    answer: dict[str, float] = json.loads(done.stdout[done.stdout.rindex(b"{") :])
    return answer


async def _publish(environment: dict[str, str], events: int) -> None:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    from streams.settings import read  # noqa: PLC0415
    from wire.topics import ensure  # noqa: PLC0415

    settings = read(environment)
    topics = await ensure(settings.topics, settings.kafka())
    chance = random.Random(7)
    async with AIOKafkaProducer(**settings.kafka(), linger_ms=20, max_batch_size=1 << 18) as producer:
        for n in range(events):
            customer = f"c-{chance.randrange(CUSTOMERS):05d}"
            burn = {
                "id": f"run-{n}",
                "customer_id": customer,
                "seat_id": f"s-{chance.randrange(SEATS)}@acme.test",
                "amount": str(chance.randrange(1, 6)),
                "time": "2026-03-16T09:30:00Z",
            }
            key = customer.encode()
            await producer.send(
                topics.name("credit-burn"), orjson.dumps(burn), key=key, partition=topics.partition_of(key)
            )


class Meter:
    """From the first record folded to the last one committed."""

    def __init__(self) -> None:
        self.events = int(os.environ["BENCH_EVENTS"])
        self.folded = 0
        self._begun: float | None = None
        self._cpu = 0.0

    def begin(self) -> None:
        if self._begun is None:
            self._begun, self._cpu = time.perf_counter(), time.process_time()

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """What is done in here is not measured; nothing else may run meanwhile."""
        begun, cpu = time.perf_counter(), time.process_time()
        yield
        if self._begun is not None:
            self._begun += time.perf_counter() - begun
            self._cpu += time.process_time() - cpu

    def report(self, **more: float) -> None:
        assert self._begun is not None
        took_s, cpu_s = time.perf_counter() - self._begun, time.process_time() - self._cpu
        found = {
            "per_s": self.folded / took_s,
            "cpu_us": cpu_s / self.folded * 1e6,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **more,
        }
        print(json.dumps(found), flush=True)
        # What follows is the way down, which is not what is measured.
        os._exit(0)


# --- the engine ------------------------------------------------------------------------------------------------------


def sum_of(settings: Any, topics: Any, meter: Meter) -> Any:
    """A fold that only sums: what is measured is the engine."""
    from streams.fold import Output, Record  # noqa: PLC0415
    from tables.overlay import Overlay  # noqa: PLC0415

    def fold(partition: int, records: Sequence[Record], rows: Overlay) -> Iterator[Output]:
        meter.begin()
        for record in records:
            burn = orjson.loads(record.value or b"")
            key = f"{burn['customer_id']}|{burn['seat_id']}".encode()
            old = int(rows.get("state", key) or 0)
            new = old + int(burn["amount"])
            rows.put("state", key, b"%d" % new)
            if old < LINE <= new:
                yield Output("threshold-alert", record.key, orjson.dumps({"key": key.decode(), "id": burn["id"]}))
        meter.folded += len(records)

    return fold


def run_engine(fold_of: Callable[[Any, Any, Meter], Any]) -> int:
    from streams import app as engine  # noqa: PLC0415
    from streams.settings import Settings  # noqa: PLC0415
    from streams.transactions import Writer  # noqa: PLC0415
    from streams.worker import work  # noqa: PLC0415
    from wire.topics import Topics  # noqa: PLC0415

    meter = Meter()
    commits: list[float] = []
    commit = Writer.commit

    async def timed(self: Writer, *args: Any) -> Any:
        begun = time.perf_counter()
        ends = await commit(self, *args)
        commits.append((time.perf_counter() - begun) * 1000)
        return ends

    Writer.commit = timed  # type: ignore[method-assign, assignment]

    def committed(partition: int, cursor: Any) -> None:
        if meter.folded >= meter.events:
            commits.sort()
            meter.report(p50_ms=commits[len(commits) // 2], p99_ms=commits[int(len(commits) * 0.99)])

    def build(settings: Settings, topics: Topics) -> engine.App:
        app = engine.create(settings, topics, fold_of(settings, topics, meter), web=False)
        app.hands.on_committed.append(committed)
        return app

    return work(build, "warning")


# --- plain Faust -----------------------------------------------------------------------------------------------------


def run_plain() -> int:
    import faust  # noqa: PLC0415

    from streams.settings import read  # noqa: PLC0415

    settings = read()
    meter = Meter()
    app = faust.App(
        f"{settings.group}-plain",
        broker=f"kafka://{settings.broker[0]}",
        store="rocksdb://",
        datadir=str(settings.data),
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    source = app.topic(settings.topics.name("credit-burn"), partitions=PARTITIONS, key_type=bytes, value_type=bytes)
    alerts = app.topic(settings.topics.name("threshold-alert"), key_type=bytes, value_type=bytes)
    sums = app.Table("sums", partitions=PARTITIONS, key_type=bytes, value_type=bytes)

    @app.agent(source)
    async def fold(stream: Any) -> None:
        async for event in stream.events():
            meter.begin()
            burn = orjson.loads(event.value)
            key = f"{burn['customer_id']}|{burn['seat_id']}".encode()
            old = int(sums.get(key) or 0)
            new = old + int(burn["amount"])
            sums[key] = b"%d" % new
            if old < LINE <= new:
                await alerts.send(key=event.key, value=orjson.dumps({"key": key.decode(), "id": burn["id"]}))
            meter.folded += 1
            if meter.folded >= meter.events:
                await app.producer.flush()
                meter.report()

    logging.disable(logging.WARNING)
    app.Worker(loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The full ledger through Kafka, and through a plain Faust agent over single events: the second half of `bench.stream`.

Both read the same facts with the same bookkeeper: 500 customers of 10 seats, each with monthly credits of its own and a
pool beside them. What is counted are burns, from the first one folded to the last one committed.
"""

import logging
import random
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from ledger import instants
from ledger.instants import DAY
from ledger.rows import Breathe, nobody_waits
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record, Unfinished
from streams.settings import Settings, read
from tables.overlay import DROP, Overlay, Table
from wire.topics import Topics, ensure

CUSTOMERS, SEATS = 500, 10


async def publish(environment: dict[str, str], events: int) -> None:
    """A contract for each customer, then so many burns, stamped when they are sent."""
    settings = read(environment)
    topics = await ensure(settings.topics, settings.kafka())
    chance = random.Random(7)
    names = [f"c-{n:05d}" for n in range(CUSTOMERS)]
    seats = [f"s-{n}@acme.test" for n in range(SEATS)]
    async with AIOKafkaProducer(**settings.kafka(), linger_ms=20, max_batch_size=1 << 18) as producer:

        async def send(kind: str, fact: dict[str, Any]) -> Any:
            key = fact["customer_id"].encode()
            return await producer.send(
                topics.name(kind), orjson.dumps(fact), key=key, partition=topics.partition_of(key)
            )

        for sent in [await send("contract-change", _contract(name, seats)) for name in names]:
            await sent
        for n in range(events):
            burn = {
                "id": f"run-{n}",
                "customer_id": chance.choice(names),
                "seat_id": chance.choice(seats),
                "amount": f"{chance.randrange(1, 500) / 100}",
                "time": instants.text(time.time_ns() // 1000),
            }
            await send("credit-burn", burn)


def _contract(customer_id: str, seats: Sequence[str]) -> dict[str, Any]:
    now = time.time_ns() // 1000
    return {
        "type": "contract.created",
        "id": "contract",
        "customer_id": customer_id,
        "time": instants.text(now),
        "contract_id": "c",
        "starting_at": instants.text(now - 10 * DAY),
        "subscriptions": [{"subscription_id": "team", "mode": "seats", "seat_ids": seats}],
        "recurring_credits": [
            {
                "recurring_credit_id": "monthly", "subscription_id": "team", "allocation": "individual", "amount": "50",
                "every": "P1M",
            }
        ],
        "grants": [{"grant_id": "pool", "amount": "100000", "priority": 200}],
    }  # fmt: skip


def fold_of(settings: Settings, topics: Topics, meter: Any) -> Callable[..., Iterator[Output | Unfinished]]:
    """The bookkeeper, with a meter on the burns."""
    bookkeeper = Bookkeeper(settings, topics)

    def fold(
        partition: int, records: Sequence[Record], rows: Overlay, breathe: Breathe = nobody_waits
    ) -> Iterator[Output | Unfinished]:
        first = next((n for n, record in enumerate(records) if record.kind == "credit-burn"), len(records))
        # The contracts come first; what they take is not what is measured.
        with meter.left_out():
            outputs = list(bookkeeper(partition, records[:first], rows, breathe)) if first else []
        yield from outputs
        burns = records[first:]
        if burns or not records:
            meter.begin()
            yield from bookkeeper(partition, burns, rows, breathe)
        meter.folded += len(burns)

    return fold


# --- plain Faust -----------------------------------------------------------------------------------------------------


class FaustRows:
    """The ledger's rows in two tables of Faust's own. A hash table knows no order, so the keys are in memory beside it:
    better than this agent could have it."""

    def __init__(self, tables: dict[Table, Any], partition: int) -> None:
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


def run_plain(meter: Any) -> int:
    """An agent as one writes it first: an event at a time, tables with changelogs, what leaves is sent on the way."""
    import faust  # noqa: PLC0415

    settings = read()
    topics = settings.topics
    bookkeeper = Bookkeeper(settings, topics)
    app = faust.App(
        f"{settings.group}-plain",
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
        for kind in ("history-snapshot", "dead-letter")
    }
    tables: dict[Table, Any] = {
        "state": app.Table("state", partitions=topics.partitions, key_type=bytes, value_type=bytes),
        "trail": app.Table("trail", partitions=topics.partitions, key_type=bytes, value_type=bytes),
    }
    partitions = [FaustRows(tables, partition) for partition in range(topics.partitions)]

    @app.agent(sources)
    async def fold(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            kind = topics.kind(message.topic)
            if kind == "credit-burn":
                meter.begin()
            rows = partitions[message.partition]
            overlay = Overlay(rows)
            timestamp_ms = int(message.timestamp * 1000)
            record = Record(kind, message.partition, message.offset, timestamp_ms, message.key, message.value, [])
            with meter.left_out() if kind != "credit-burn" else nullcontext():
                found = list(bookkeeper(message.partition, [record], overlay))
            for output in found:
                if output is not UNFINISHED:
                    await outputs[output.kind].send(key=output.key, value=output.value)
            for table, changed in overlay.rows().items():
                for key, value in changed.items():
                    if not key.startswith(DROP):  # nothing is old enough here
                        rows.write(table, key, value)
            meter.folded += kind == "credit-burn"
            if meter.folded >= meter.events:
                await app.producer.flush()
                meter.report()

    logging.disable(logging.WARNING)
    app.Worker(loglevel="error", quiet=True, redirect_stdouts=False).execute_from_commandline()
    return 0

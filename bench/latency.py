"""How long it takes until what follows from an event can be read, on any cluster where workers run.

    python -m bench.latency [--broker host:port] [--prefix ...] [--probes 600] [--rate 20] [--json]

From just before an event is handed to a producer until a consumer of committed records has what it caused: an alert, a
snapshot, a dead letter. Both are here, so one clock measures both ends. What else is needed to reach the cluster (TLS,
SASL, the prefix) is taken from the worker's own settings. The probes are customers of their own with a rule each, whose
contracts end and whose rules are archived afterwards.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from ledger import instants
from ledger.instants import DAY
from streams.settings import Settings, SettingsWrong, read
from wire.topics import OUTPUTS, Topics, TopicsUnfit, ensure

#: What is waited for, and where it comes out.
KINDS = {"threshold-alert": "alert", "history-snapshot": "snapshot", "dead-letter": "dead letter"}
CUSTOMERS = 16
#: The consumer asks again at least this often.
FETCH_MS = 50
#: Nothing new for so long: what was agreed has been said.
QUIET_S = 2.0
PATIENCE_S = 60.0
#: A broker's clock counts in whole milliseconds, and may be a little behind ours; what is stamped ahead of it would wait for it.
STAMPED_US = 10_000
BUCKETS_MS = (10, 20, 30, 50, 75, 100, 150, 250, 500, 1_000, 2_500, 10_000)


@dataclass
class Probes:
    """What is sent, and when what follows from it came."""

    topics: Topics
    count: int
    run: str = field(default_factory=lambda: os.urandom(3).hex())
    sent: dict[tuple[str, str], float] = field(default_factory=dict)
    found: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in OUTPUTS})
    heard: float = 0.0
    #: Grants that no snapshot of their own told, but one of a later grant.
    together: int = 0
    #: Why a probe came to nothing that should not have.
    refused: str = ""

    def customer(self, number: int) -> str:
        return f"latency-{self.run}-{number % CUSTOMERS}"

    def opening(self) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
        """A rule for each customer, and a contract with a credit for each seat."""
        at = instants.text(_now())
        for number in range(CUSTOMERS):
            customer = self.customer(number)
            yield "alert-rule", customer, {
                "rule_id": customer, "name": "latency", "customer_id": customer, "metric": "balance", "scope": "seat",
                "levels": ["0"],
            }  # fmt: skip
        for number in range(CUSTOMERS):
            customer = self.customer(number)
            seats = [f"seat-{n}" for n in range(number, self.count, CUSTOMERS) if n % 3 == 0]
            yield "contract-change", customer, {
                "type": "contract.created", "id": f"{self.run}-opening", "customer_id": customer, "time": at,
                "contract_id": "latency", "starting_at": instants.text(_now() - DAY),
                "subscriptions": [{"subscription_id": "seats", "mode": "seats", "seat_ids": seats}],
                "recurring_credits": [
                    {
                        "recurring_credit_id": "one", "subscription_id": "seats", "allocation": "individual",
                        "amount": "1", "every": "P1M",
                    }
                ],
                "grants": [{"grant_id": "pool", "amount": "1000", "priority": 200}],
            }  # fmt: skip

    def probe(self, number: int) -> tuple[str, str, str, dict[str, Any]]:
        """In turns: a burn of all that a seat has, a grant to a pool, a burn that says no amount. The output that it causes
        comes first."""
        customer, at = self.customer(number), instants.text(_now())
        fact = {"id": f"{self.run}-{number}", "customer_id": customer, "time": at, "contract_id": "latency"}
        match number % 3:
            case 0:
                return "threshold-alert", "credit-burn", customer, fact | {"seat_id": f"seat-{number}", "amount": "1"}
            case 1:
                grant = {"type": "credits.granted", "grant_id": f"more-{number}", "amount": "1", "priority": 300}
                return "history-snapshot", "contract-change", customer, fact | grant
            case _:
                return "dead-letter", "credit-burn", customer, fact

    def closing(self) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
        at = instants.text(_now())
        for number in range(CUSTOMERS):
            customer = self.customer(number)
            yield "alert-rule", customer, None
            yield "contract-change", customer, {
                "type": "contract.ended", "id": f"{self.run}-closing", "customer_id": customer, "time": at,
                "contract_id": "latency", "ending_before": at,
            }  # fmt: skip

    def hear(self, kind: str, record: Any, at: float) -> None:
        if kind == "dead-letter":
            headers = {name: (value or b"").decode() for name, value in record.headers}
            cause = headers.get("seatstream.id", "")
            if cause.startswith(self.run) and (kind, cause) not in self.sent:
                self.refused = f"{cause} was refused: {headers['seatstream.message']}"
        else:
            cause = orjson.loads(record.value)["cause"]["id"]
        if cause.startswith(self.run):
            self.heard = at
            for told in self._told(kind, cause):
                sent = self.sent.pop((kind, told), None)
                if sent is not None:
                    self.found[kind].append(at - sent)
                    self.together += told != cause

    def _told(self, kind: str, cause: str) -> Iterator[str]:
        """Of grants that are folded together, one snapshot tells, and names the last."""
        yield cause
        number = cause.removeprefix(f"{self.run}-")
        if kind == "history-snapshot" and number.isdigit():
            for earlier in range(int(number) - CUSTOMERS, 0, -CUSTOMERS):
                yield f"{self.run}-{earlier}"


def _now() -> int:
    return time.time_ns() // 1000 - STAMPED_US


async def measure(settings: Settings, count: int, rate: float) -> dict[str, list[float]]:
    """Seconds, by what was waited for."""
    topics = await ensure(settings.topics, settings.kafka())
    probes = Probes(topics, count)
    async with (
        AIOKafkaProducer(**settings.kafka(), linger_ms=0) as producer,
        AIOKafkaConsumer(
            **settings.kafka(), isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=FETCH_MS
        ) as consumer,
    ):
        places = [TopicPartition(topics.name(kind), number) for kind in OUTPUTS for number in range(topics.partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        # Where they begin is settled now, and not with the first fetch.
        for place in places:
            await consumer.position(place)
        listening = asyncio.create_task(_listen(consumer, probes))

        async def send(kind: str, customer: str, fact: Mapping[str, Any] | None) -> None:
            key = customer.encode()
            value = None if fact is None else orjson.dumps(fact)
            await producer.send(topics.name(kind), value, key=key, partition=topics.partition_of(key))

        try:
            for told in probes.opening():
                await send(*told)
            await _until_quiet(probes)
            begun = time.monotonic()
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                output, kind, customer, fact = probes.probe(number)
                probes.sent[output, fact["id"]] = time.monotonic()
                await send(kind, customer, fact)
            await _until_all(probes)
        finally:
            for told in probes.closing():
                await send(*told)
            listening.cancel()
    if probes.together:
        print(f"{probes.together} grants were told by the snapshot of a later one", file=sys.stderr)
    return {KINDS[kind]: seconds for kind, seconds in probes.found.items() if seconds}


async def _listen(consumer: AIOKafkaConsumer, probes: Probes) -> None:
    while True:
        for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
            at = time.monotonic()
            for record in records:
                probes.hear(probes.topics.kind(place.topic), record, at)


async def _until_quiet(probes: Probes) -> None:
    """What was agreed is folded, and what is to be said of it is said."""
    begun = time.monotonic()
    while not probes.heard or time.monotonic() - probes.heard < QUIET_S:
        if probes.refused or time.monotonic() - begun > PATIENCE_S:
            raise SystemExit(
                probes.refused or "nothing comes of contracts and rules: does a worker run for these topics?"
            )
        await asyncio.sleep(0.1)


async def _until_all(probes: Probes) -> None:
    begun = time.monotonic()
    while probes.sent:
        if probes.refused or time.monotonic() - begun > PATIENCE_S:
            raise SystemExit(
                probes.refused or f"of {len(probes.sent)} probes nothing came, such as {next(iter(probes.sent))}"
            )
        await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", help="host:port; else as SEATSTREAM_BROKER says")
    parser.add_argument("--prefix", help="before every topic; else as SEATSTREAM_PREFIX says")
    parser.add_argument("--probes", type=int, default=600, help="how many events, a third for each of what they cause")
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--json", action="store_true", help="all seconds, for programs")
    args = parser.parse_args()
    told = {"SEATSTREAM_BROKER": args.broker, "SEATSTREAM_PREFIX": args.prefix}
    try:
        settings = read({**os.environ, **{name: value for name, value in told.items() if value is not None}})
        found = asyncio.run(measure(settings, args.probes, args.rate))
    except (SettingsWrong, TopicsUnfit) as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(found))
    else:
        Console().print(_table(found))
    return 0


def _table(found: Mapping[str, Sequence[float]]) -> Table:
    """Percentiles, and how many came within which time."""
    table = Table("ms from produced to readable", *found, title="Latency, read committed")
    runs = [sorted(seconds) for seconds in found.values()]
    table.add_row("how many", *(f"{len(run):,}" for run in runs))
    for percent in (50, 90, 99, 99.9, 100):
        name = "max" if percent == 100 else f"p{percent}"
        table.add_row(name, *(f"{_at(run, percent) * 1000:.0f}" for run in runs))
    table.add_section()
    for bucket in BUCKETS_MS:
        within = [sum(seconds * 1000 <= bucket for seconds in run) / len(run) for run in runs]
        table.add_row(f"within {bucket:,}", *(f"{share:7.2%}" for share in within))
        if min(within) == 1:
            break
    return table


def _at(ordered: Sequence[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


if __name__ == "__main__":
    sys.exit(main())

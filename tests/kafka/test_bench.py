"""The benchmarks of the stream run and measure what they say; nothing here asks how long it took."""

from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import stream
from bench.customers import customer_id
from bench.load import Load, now
from ledger import amounts
from ledger.ledger import Ledger
from tables.memory import MemoryRows
from tables.shard import TABLES, Shard
from tables.store import Memory

LOAD = Load(customers=4, seats=3, dry=True, rules=True)


@pytest.fixture
def bench(broker: str, tmp_path: Path) -> stream.Bench:
    return stream.Bench(broker, tmp_path, times=1, scale=0.003)


async def test_what_a_round_burned_is_what_was_published(bench: stream.Bench) -> None:
    async with stream.side(bench, "ledger", LOAD, partitions=2, workers=2, BENCH_COUNTS="1") as one:
        found = await one.round(300)
        assert found.burns == 300
        assert found.written["trail rows"] >= 300 and found.written["state rows"] > 0
        assert found.rate > 0 and found.cpu_us > 0 and found.rss_mb > 0
        published = await _published(one)
        await one.end()

        assert _burned(one) == published


@pytest.mark.parametrize("row", ["engine", "plain", "rules", "latency", "recovery"])
async def test_a_row_of_the_table_is_measured(bench: stream.Bench, row: str) -> None:
    lines = await stream.measure(bench, [row])

    assert lines
    assert [line for line in lines if "broken" in line.found] == []
    assert all(any(char in "123456789" for char in line.found) for line in lines)


async def test_a_row_whose_worker_stands_still_says_so(bench: stream.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    burn = Load._burn
    monkeypatch.setattr(Load, "_burn", lambda *args: (*burn(*args)[:2], b"no JSON"))

    [line] = await stream.measure(bench, ["engine"])

    assert line.holds is False
    assert "DecodeError" in line.found


async def _published(one: stream.Side) -> Counter[str]:
    """What was burned by each customer, as the topic says."""
    found: Counter[str] = Counter()
    ends = {
        TopicPartition(one.topics.name("credit-burn"), partition): end
        for partition, end in enumerate(one.sender.ends["credit-burn"])
    }
    async with AIOKafkaConsumer(**one.settings.kafka(), enable_auto_commit=False) as reader:
        reader.assign(list(ends))
        await reader.seek_to_beginning(*ends)
        while any([await reader.position(tp) < end for tp, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    burn = orjson.loads(record.value)
                    found[burn["customer_id"]] += amounts.parse(burn["amount"])
    return found


def _burned(one: stream.Side) -> Counter[str]:
    """The same as the tables on the disks of all workers know it."""
    found: Counter[str] = Counter()
    for path in one.settings.data.glob("*/*/*/state-*"):
        shard = Shard(int(path.name.removeprefix("state-")), path.parent, Memory())
        rows = MemoryRows()
        for table in TABLES:
            for key, value in shard.scan(table, b"\x01", b"\xff"):
                rows.put(table, key, value)
        shard.close()
        ledger = Ledger(rows)
        for customer in set(ledger.customers()) & {customer_id(number) for number in range(LOAD.customers)}:
            for balance in ledger.balances(customer, now()):
                found[customer] += sum(grant.granted - grant.balance for grant in balance.grants) + balance.overage
    return found

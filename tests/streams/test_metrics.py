"""What Prometheus is told: what was committed, once, and how things stand; nothing that its own linter complains of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from streams import metrics
from streams.fold import Record
from streams.hands import Hand, Hands
from streams.intake import Fetched, Intake
from streams.lookout import Lookout
from streams.settings import read
from tables.overlay import Overlay
from tables.shard import Shards
from tables.store import Memory
from tests.promtool import promtool
from tests.streams.test_bookkeeper import Desk, contract
from wire.topics import INPUTS

EIGHT = read({"SEATSTREAM_PARTITIONS": "8"})


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def outcomes(topic: str) -> dict[str, float]:
    return {
        outcome: told("seatstream_facts_total", topic=topic, outcome=outcome)
        for outcome in ("folded", "repeated", "waiting", "refused", "forwarded")
    }


def since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def burn(desk: Desk, id: str, **more: str) -> Record:
    held = {"id": id, "customer_id": "acme", "seat_id": "ana", "amount": "1", "time": "2026-03-16T12:00:00Z"} | more
    return desk.record("credit-burn", msgspec.json.encode(held))


def test_a_batch_counts_when_it_is_committed_and_once() -> None:
    desk = Desk()
    contract(desk)
    before, codes = outcomes("credit-burn"), told("seatstream_refusals_total", code="unreadable")
    batch = [burn(desk, "b1"), burn(desk, "b1"), burn(desk, "b2", contract_id="k9"), desk.record("credit-burn", b"{")]

    # Its transaction is lost, and it is folded again.
    list(desk.keeper(0, batch, Overlay(desk.rows)))
    desk.keeper.forget(0)
    desk.fold(*batch)
    assert outcomes("credit-burn") == before
    desk.keeper.committed(0)
    desk.keeper.committed(0)

    assert since(before, outcomes("credit-burn")) == {"folded": 1, "repeated": 1, "waiting": 1, "refused": 1}
    assert told("seatstream_refusals_total", code="unreadable") == codes + 1


def test_a_repeat_that_differs_and_what_belongs_elsewhere_are_counted() -> None:
    desk = Desk()
    contract(desk)
    before = told("seatstream_differing_repeats_total")
    desk.fold(burn(desk, "b1"), burn(desk, "b1", amount="2"))
    desk.keeper.committed(0)
    assert told("seatstream_differing_repeats_total") == before + 1

    elsewhere = Desk(EIGHT)
    elsewhere.partition = EIGHT.topics.partition_of(b"acme") ^ 1
    far = outcomes("credit-burn")
    elsewhere.fold(burn(elsewhere, "b3"))
    elsewhere.keeper.committed(elsewhere.partition)
    assert since(far, outcomes("credit-burn")) == {"forwarded": 1}


def test_what_waited_is_counted_again_when_it_is_folded_or_refused() -> None:
    desk = Desk()
    desk.fold(burn(desk, "b1", contract_id="c"), burn(desk, "b2", contract_id="never"))
    desk.keeper.committed(0)
    before = outcomes("credit-burn")

    contract(desk)
    desk.keeper.committed(0)
    assert since(before, outcomes("credit-burn")) == {"folded": 1}
    desk.at("2026-03-17T00:00:00Z").tick()
    desk.keeper.committed(0)
    assert since(before, outcomes("credit-burn")) == {"folded": 1, "refused": 1}


def test_corrections_are_told_from_other_snapshots() -> None:
    desk = Desk()
    contract(desk)
    before = told("seatstream_snapshots_total", type="balance.corrected")

    desk.at("2026-03-16T12:00:01Z").fold(burn(desk, "late", time="2026-03-14T00:00:00Z"))
    desk.keeper.committed(0)

    assert told("seatstream_snapshots_total", type="balance.corrected") == before + 1


def test_burns_of_seats_that_nobody_ever_assigned_are_counted_until_somebody_does() -> None:
    desk = Desk()
    contract(desk)
    begun = told("seatstream_unassigned_burns_total")

    desk.fold(burn(desk, "b1"), burn(desk, "b2", seat_id="Ana"), burn(desk, "b3", seat_id="Ana"), burn(desk, "b4"))
    desk.keeper.committed(0)
    assert told("seatstream_unassigned_burns_total") == begun + 2

    edit = {"op": "add_seats", "seat_ids": ["Ana"]}
    desk.say("seat-change", id="e", contract_id="c", subscription_id="team", operations=[edit])
    desk.keeper.committed(0)
    desk.fold(burn(desk, "b5", seat_id="Ana"))
    desk.keeper.committed(0)
    assert told("seatstream_unassigned_burns_total") == begun + 2


def test_latencies_are_counted_event_by_event() -> None:
    registry = CollectorRegistry()
    latency = metrics.Latency("age_seconds", "Ages.", (0.01, 0.1, 1.0), registry)

    latency.observe([850, 989, 990, 995], now_ms=1_000)
    latency.observe([1_000], now_ms=4_000)

    held = {
        bucket: registry.get_sample_value("age_seconds_bucket", {"le": bucket})
        for bucket in ("0.01", "0.1", "1.0", "+Inf")
    }
    assert held == {"0.01": 2, "0.1": 3, "1.0": 4, "+Inf": 5}
    assert registry.get_sample_value("age_seconds_sum") == 3.176
    assert registry.get_sample_value("age_seconds_count") == 5


@dataclass
class Held:
    """What a lookout looks at."""

    hands: Hands
    intake: Intake
    shards: Shards


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Held]:
    """One that has partition 0, in which a contract was folded and a burn waits; ten more burns have come."""
    desk = Desk()
    contract(desk)
    desk.fold(burn(desk, "b1", contract_id="never"))
    memory, intake = Memory(), Intake()
    shards = Shards(tmp_path, memory)
    (shard,) = shards.keep({0})
    tables = desk.rows.tables
    shard.commit({"state": tables["state"], "trail": tables["trail"]}, {"state": 1, "trail": 1}, 0)
    hands = Hands(desk.keeper, topics=desk.settings.topics, group="g", kafka={}, shards=shards, intake=intake)
    writer: Any = None
    hands._hands = {0: Hand(shard, writer, dict.fromkeys(INPUTS, 0))}
    intake.open({0: dict.fromkeys(INPUTS, 0)})
    intake.add(Fetched({}, {("credit-burn", 0): 0}, {("credit-burn", 0): 10}))
    yield Held(hands, intake, shards)
    shards.close()


def test_how_things_stand_is_looked_up_when_somebody_asks(worker: Held) -> None:
    registry = CollectorRegistry()
    registry.register(Lookout(worker))

    def now(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"seatstream_{name}", labels)

    assert now("lag_records", topic="credit-burn", partition="0") == 10
    assert now("lag_records", topic="seat-change", partition="0") == 0
    assert now("waiting_facts", partition="0") == 1
    assert now("overdue_timers", partition="0") == 0
    assert now("clock_timestamp_seconds", partition="0") == 1_773_662_400
    assert now("stopped_partitions", partition="0") == 0
    assert (now("table_rows", table="state") or 0) > 10
    assert (now("table_size_bytes", table="trail") or 0) > 0
    assert now("restore_remaining_rows") == 0

    worker.hands._hands[0].stopped = "L14: a sum is broken"
    assert now("stopped_partitions", partition="0") == 1


def test_a_disk_that_does_not_answer_takes_no_other_metric_away(worker: Held) -> None:
    shard = worker.shards.get(0)
    assert shard is not None
    shard.close()

    said = exposed(worker)

    assert b'seatstream_lag_records{partition="0",topic="credit-burn"} 10.0' in said
    assert b"seatstream_waiting_facts{" not in said


def test_what_a_customer_is_called_is_nobodys_label(worker: Held) -> None:
    assert b"acme" not in exposed(worker)
    assert b"seatstream_waiting_facts" in exposed(worker)


def test_promtool_finds_nothing_to_complain_of(worker: Held) -> None:
    found = promtool("check", "metrics", said=exposed(worker))

    assert (found.returncode, found.stdout + found.stderr) == (0, b"")
    # It would complain.
    assert promtool("check", "metrics", said=b"a_ms 1\n").returncode


def exposed(worker: Held) -> bytes:
    """All that a worker exposes."""
    lookout = Lookout(worker)
    REGISTRY.register(lookout)
    try:
        return generate_latest()
    finally:
        REGISTRY.unregister(lookout)

"""Time passes on the real broker: what is due happens at its instant without traffic, and nobody's facts go astray."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from ledger import instants
from ledger.instants import SECOND, Instant
from streams.publishing import SCOPES_A_STEP
from tests.debian import program
from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.verifying import verify
from wire.control import tick

PARTITIONS = 4
MANY = 5 * SCOPES_A_STEP


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    scene = LedgerScene(broker, prefix, tmp_path, PARTITIONS)
    await scene.prepare()
    yield scene
    scene.end()


def contract(at: Instant, **more: Any) -> bytes:
    held = {"type": "contract.created", "id": "k", "customer_id": "acme", "contract_id": "c", "time": instants.text(at)}
    return orjson.dumps(held | more)


async def said(scene: LedgerScene, kind: str, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """What leaves on a topic and fits; waits for it."""
    deadline = time.monotonic() + 30
    while True:
        found = [one for one in map(_loaded, await scene.read(kind)) if fits(one)]
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.2)


def _loaded(record: Any) -> dict[str, Any]:
    held: dict[str, Any] = orjson.loads(record.value)
    return held


async def send(
    scene: LedgerScene, kind: str, value: bytes, partition: int | None = None, key: bytes | None = b"acme"
) -> None:
    async with AIOKafkaProducer(**scene.kafka) as producer:
        await producer.send_and_wait(scene.topics.name(kind), value, key=key, partition=partition)


async def test_a_grant_ends_at_its_instant_though_nobody_says_anything(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    now = time.time_ns() // 1000
    ends_at = now + 3 * SECOND
    grant = {"grant_id": "short", "amount": "10", "expires_at": instants.text(ends_at)}
    await send(scene, "contract-change", contract(now, grants=[grant]))

    (ended,) = await said(scene, "history-snapshot", lambda one: one.get("balance") == "0")

    assert (ended["time"], ended["expired"]) == (instants.text(ends_at), "10")
    assert ended["cause"] == {"type": "time", "id": instants.text(ends_at)}
    assert time.time_ns() // 1000 - ends_at < 5 * SECOND
    assert await worker.stop() == 0


async def test_where_the_clock_is_a_topic_only_a_tick_moves_it(scene: LedgerScene) -> None:
    scene.settings = {**scene.settings, "SEATSTREAM_CLOCK": "topic"}
    worker = scene.worker("a")
    await worker.folds()
    signed = instants.instant("2031-01-01T00:00:00Z")
    grant = {"grant_id": "short", "amount": "10", "expires_at": "2031-06-01T00:00:00Z"}
    await send(scene, "contract-change", contract(signed, grants=[grant]))
    for partition in range(PARTITIONS):
        await send(scene, "control", tick(instants.instant("2031-05-31T23:59:59Z")), partition, None)
    await said(scene, "history-snapshot", lambda one: one.get("balance") == "10")
    await asyncio.sleep(1.5)
    assert not [one for one in map(_loaded, await scene.read("history-snapshot")) if one.get("balance") == "0"]

    for partition in range(PARTITIONS):
        await send(scene, "control", tick(instants.instant("2031-06-01T00:00:00Z")), partition, None)

    (ended,) = await said(scene, "history-snapshot", lambda one: one.get("balance") == "0")
    assert ended["time"] == "2031-06-01T00:00:00Z"
    assert len(await scene.read("control")) == 2 * PARTITIONS
    assert await worker.stop() == 0


async def test_facts_in_the_wrong_partition_reach_the_right_one_once(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    now = time.time_ns() // 1000
    await send(scene, "contract-change", contract(now, grants=[{"grant_id": "g", "amount": "100"}]))
    for partition in range(PARTITIONS):
        burn = {"id": f"b{partition}", "customer_id": "acme", "amount": "1", "time": instants.text(now)}
        # A worker that has to forward may be ahead of the contract; then the burn waits.
        await send(scene, "credit-burn", orjson.dumps(burn), partition, None)

    assert await said(scene, "history-snapshot", lambda one: one.get("balance") == "96") != []
    assert await worker.stop() == 0
    assert await scene.read("dead-letter") == []
    assert len(await scene.read("credit-burn")) == 2 * PARTITIONS - 1


async def test_what_kcat_sends_without_a_key_is_folded_where_it_belongs(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    now = time.time_ns() // 1000
    lines = [contract(now, grants=[{"grant_id": "g", "amount": "100"}])]
    await asyncio.to_thread(kcat, scene, "contract-change", lines)
    burns = [
        orjson.dumps({"id": f"b{n}", "customer_id": "acme", "amount": "1", "time": instants.text(now)})
        for n in range(50)
    ]
    await asyncio.to_thread(kcat, scene, "credit-burn", burns)

    assert await said(scene, "history-snapshot", lambda one: one.get("balance") == "50") != []
    assert await worker.stop() == 0
    assert await scene.read("dead-letter") == []


def kcat(scene: LedgerScene, kind: str, lines: list[bytes]) -> None:
    subprocess.run(
        [program("kcat", "kcat"), "-P", "-b", scene.broker, "-t", scene.topics.name(kind)],
        input=b"\n".join(lines), check=True, timeout=60,
    )  # fmt: skip


async def test_a_period_start_of_many_seats_is_said_in_steps_that_can_be_taken_again(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    now = time.time_ns() // 1000
    starts_at = now + 5 * SECOND
    seats = [f"seat-{n:04d}" for n in range(MANY)]
    monthly = {
        "recurring_credit_id": "own", "subscription_id": "team", "allocation": "individual", "amount": "5", "every": "P1M",
    }  # fmt: skip
    team = {"subscription_id": "team", "mode": "seats", "seat_ids": seats}
    signed = contract(now, starting_at=instants.text(starts_at), subscriptions=[team], recurring_credits=[monthly])
    await send(scene, "contract-change", signed)

    def starts(one: dict[str, Any]) -> bool:
        return (one["type"], one["time"]) == ("balance.snapshot", instants.text(starts_at))

    async with asyncio.timeout(60):
        while True:
            found = await said(scene, "history-snapshot", starts)
            if len(found) >= MANY:
                break
            await asyncio.sleep(0.2)

    assert sorted((one["scope"]["seat_id"], one["balance"]) for one in found) == [(seat, "5") for seat in seats]
    assert await worker.stop() == 0
    without_records = [record for record in await scene.read("journal") if orjson.loads(record.value)["inputs"] == {}]
    assert len(without_records) >= MANY // SCOPES_A_STEP - 1
    code, words = await asyncio.to_thread(verify, scene)
    assert code == 0, words

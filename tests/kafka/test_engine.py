"""Exactly once, whoever dies, pauses, joins or leaves: the engine with a trivial fold against the real broker."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from streams.broker import Broker
from tests.kafka.scene import Scene


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(broker, prefix, tmp_path)
    await scene.prepare()
    yield scene
    scene.end()


async def test_everything_is_folded_once_and_stands_on_disk_after_a_stop_in_order(scene: Scene) -> None:
    await scene.publish(20_000)
    worker = scene.worker("a")
    await worker.folds()
    await scene.publish(2_000, per_second=1_000)
    await scene.folded()
    begun = time.monotonic()

    assert await worker.stop() == 0
    assert time.monotonic() - begun < 5
    await scene.must_be_exact()
    assert scene.on_disk("a") == (dict(scene.sums), dict(scene.counts))


async def test_a_worker_killed_with_and_without_its_disk_loses_and_doubles_nothing(scene: Scene) -> None:
    async with scene.traffic(per_second=3_000):
        for wiped in (False, True, False):
            worker = scene.worker("a")
            await worker.folds()
            await asyncio.sleep(1.3)
            worker.kill()
            if wiped:
                shutil.rmtree(scene.directory / "a")
        worker = scene.worker("a")
        await worker.folds()
    await scene.folded()
    assert await worker.stop() == 0

    await scene.must_be_exact()
    assert scene.on_disk("a") == (dict(scene.sums), dict(scene.counts))


async def test_a_worker_that_joins_and_leaves_in_mid_flow_changes_nothing(scene: Scene) -> None:
    async with scene.traffic(per_second=3_000):
        first = scene.worker("a")
        await first.folds()
        second = scene.worker("b")
        await second.folds()
        await asyncio.sleep(2)
        assert await second.stop() == 0
        # Who leaves says so: nobody waits for its session to run out.
        await first.says("folding partitions [0, 1, 2, 3]", times=2, patience_s=5)
        await asyncio.sleep(1)
    await scene.folded()
    await scene.must_be_exact()
    assert await first.stop() == 0
    assert scene.on_disk("a") == (dict(scene.sums), dict(scene.counts))


async def test_a_worker_paused_past_its_session_is_fenced_and_may_come_back(scene: Scene) -> None:
    async with scene.traffic(per_second=3_000):
        zombie = scene.worker("a")
        await zombie.folds()
        await asyncio.sleep(1)
        zombie.pause()
        heir = scene.worker("b")
        await heir.folds()
        await asyncio.sleep(2)
        zombie.go_on()
        # It learns that it was gone, takes its share of the partitions again, and goes on from what the heir wrote.
        await zombie.says("folding partitions", times=2)
        await asyncio.sleep(1)
    await scene.folded()

    await scene.must_be_exact()
    assert await zombie.stop() == 0
    await heir.says("folding partitions [0, 1, 2, 3]", times=2)
    assert await heir.stop() == 0
    assert scene.on_disk("b") == (dict(scene.sums), dict(scene.counts))


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that may be killed."""
    with Broker(data=tmp_path_factory.mktemp("broker")) as kafka:
        yield kafka


async def test_it_goes_on_where_it_was_when_its_broker_comes_back(mortal: Broker, prefix: str, tmp_path: Path) -> None:
    scene = Scene(mortal.bootstrap, prefix, tmp_path)
    await scene.prepare()
    await scene.publish(30_000)
    worker = scene.worker("a")
    try:
        await worker.folds()
        await asyncio.to_thread(mortal.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(mortal.restart)
        await scene.folded()
        await scene.must_be_exact()
        assert await worker.stop() == 0
        # Kafka's clients complain dozens of times a second; once in ten seconds is written down.
        assert worker.log.read_text().count("Unable connect to node") < 10
    finally:
        scene.end()


async def test_it_takes_its_partitions_over_though_the_broker_went_while_it_did(
    mortal: Broker, prefix: str, tmp_path: Path
) -> None:
    scene = Scene(mortal.bootstrap, prefix, tmp_path)
    await scene.prepare()
    await scene.publish(30_000)
    scene.worker("a")
    try:
        # It is in its group by then, and reads changelogs.
        await asyncio.sleep(1)
        await asyncio.to_thread(mortal.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(mortal.restart)
        await scene.folded()
    finally:
        scene.end()


async def test_it_stops_though_kafka_is_gone_and_says_that_not_all_is_in_order(
    mortal: Broker, prefix: str, tmp_path: Path
) -> None:
    scene = Scene(mortal.bootstrap, prefix, tmp_path)
    scene.program = "tests.kafka.hurried_worker"
    await scene.prepare()
    # So that it has something in hand that cannot be committed any more: with nothing there, all would be in order.
    await scene.publish(60_000)
    worker = scene.worker("a")
    try:
        await worker.folds()
        await asyncio.sleep(0.4)
        await asyncio.to_thread(mortal.kill)

        assert await worker.stop() == 1
        assert "not stopped in order after 3 s" in worker.log.read_text()
    finally:
        scene.end()


async def test_a_fold_that_fails_stops_its_partition_loudly_and_no_other(scene: Scene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    await scene.publish(1_000)
    await scene.folded()
    await scene.publish_raw("credit-burn", 2, b"broken")
    await worker.says("partition 2 stands still, the others go on: Broken")
    await worker.says(f"{scene.topics.name('credit-burn')}-2")
    await scene.publish(1_000)

    await scene.folded(but=frozenset({2}))
    with pytest.raises(AssertionError, match="not folded"):
        await scene.folded(patience_s=1)

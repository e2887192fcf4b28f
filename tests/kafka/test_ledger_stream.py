"""What leaves the stream and what its tables hold is what the naive model says, whatever happens to the workers."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.kafka.ledger_scene import LedgerScene


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    scene = LedgerScene(broker, prefix, tmp_path)
    await scene.prepare()
    yield scene
    scene.end()


async def test_one_worker_folds_what_the_model_says(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    await scene.tell(seconds=4)
    await scene.folded()
    assert await worker.stop() == 0

    await scene.must_agree("a")


async def test_two_workers_and_one_that_leaves_again_fold_the_same(scene: LedgerScene) -> None:
    first = scene.worker("a")
    await first.folds()
    async with scene.telling():
        second = scene.worker("b")
        await second.folds()
        third = scene.worker("c")
        await third.folds()
        await asyncio.sleep(1)
        assert await third.stop() == 0
        await asyncio.sleep(1)
    await scene.folded()
    assert await second.stop() == 0
    assert await first.stop() == 0

    await scene.must_agree("a", "b", "c")


async def test_killed_with_and_without_its_disk_it_folds_the_same(scene: LedgerScene) -> None:
    async with scene.telling():
        for wiped in (False, True, False):
            worker = scene.worker("a")
            await worker.folds()
            await asyncio.sleep(1.5)
            worker.kill()
            if wiped:
                shutil.rmtree(scene.directory / "a")
        worker = scene.worker("a")
        await worker.folds()
    await scene.folded()
    assert await worker.stop() == 0

    await scene.must_agree("a")


async def test_paused_past_its_session_it_comes_back_and_folds_the_same(scene: LedgerScene) -> None:
    async with scene.telling():
        zombie = scene.worker("a")
        await zombie.folds()
        await asyncio.sleep(1)
        zombie.pause()
        heir = scene.worker("b")
        await heir.folds()
        await asyncio.sleep(1)
        zombie.go_on()
        await zombie.says("folding partitions", times=2)
        await asyncio.sleep(1)
    await scene.folded()
    assert await zombie.stop() == 0
    assert await heir.stop() == 0

    await scene.must_agree("a", "b")

"""`seatstream verify` on the real broker: what is true is proved, and every tampering is found."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from streams.journal import STEP_HEADER
from tables.shard import Shard
from tables.store import Memory, Position
from tests.kafka.ledger_scene import LedgerScene
from tests.kafka.verifying import verify

PARTITIONS = 2


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    """A worker has folded every history, and is gone."""
    scene = LedgerScene(broker, prefix, tmp_path, PARTITIONS)
    await scene.prepare()
    worker = scene.worker("a")
    await worker.folds()
    await scene.tell(3)
    await scene.folded()
    assert await worker.stop() == 0
    yield scene
    scene.end()


def shard(scene: LedgerScene, partition: int) -> Shard:
    (path,) = (scene.directory / "a").glob(f"*/*/state-{partition}")
    return Shard(partition, path.parent, Memory())


async def test_what_was_folded_is_proved_and_what_was_tampered_with_is_found(scene: LedgerScene) -> None:
    code, said = verify(scene)
    assert code == 0, said
    assert said.count("the same; ") == PARTITIONS
    assert said.count("what was rebuilt from the inputs, the disk at ") == PARTITIONS

    steps = [len([one for one in await scene.read("journal") if one.partition == n]) for n in range(PARTITIONS)]
    for kind in ("history-snapshot", "dead-letter"):
        said_steps = [(one.partition, int(dict(one.headers)[STEP_HEADER])) for one in await scene.read(kind)]
        assert said_steps == sorted(said_steps) and all(0 < step <= steps[of] for of, step in said_steps)

    # A balance on the disk that nobody burned for.
    torn = shard(scene, 0)
    key, value = next((key, value) for key, value in torn.scan("state", b"S", b"T"))
    at = torn.state.position()
    assert at is not None
    torn.state.write({key: value + b" "}, Position(*at))
    torn.close()
    code, said = verify(scene)
    assert code == 1
    assert "partition 0: 1 differences" in said and "the disk " in said
    assert "partition 1: the same" in said

    # A snapshot that never followed from a fact, and a row of the changelog that no step wrote.
    async with AIOKafkaProducer(**scene.kafka) as producer:
        forged = orjson.dumps({"type": "balance.snapshot", "snapshot_id": "forged", "part": 1})
        snapshots, changelog = scene.topics.name("history-snapshot"), scene.topics.name("state-changelog")
        await producer.send_and_wait(snapshots, forged, partition=1)
        await producer.send_and_wait(changelog, b"1[]", key=b"Sforged", partition=1)
    code, said = verify(scene, "elsewhere")
    assert code == 1
    assert "forged" in said and "left, and does not leave again" in said
    assert "state Sforged: the changelog has 1[], the rows rebuilt from the inputs nothing" in said
    assert "partition 0: the same" in said and "the disk" not in said


async def test_where_the_inputs_do_not_reach_back_that_is_said(scene: LedgerScene) -> None:
    admin = AIOKafkaAdminClient(**scene.kafka)
    await admin.start()
    place = TopicPartition(scene.topics.name("contract-change"), 0)
    await admin.delete_records({place: RecordsToDelete(before_offset=3)})
    await admin.close()

    code, said = verify(scene)

    assert code == 2
    assert "contract-change reaches back to record 3 only" in said
    # What can be told is told: the disk holds what the changelogs say.
    assert "partition 0: the same; " in said and "the disk at " in said
    assert "partition 1: the same; " in said


async def test_a_worker_that_goes_on_is_no_difference(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    told = asyncio.create_task(scene.tell(120))
    await asyncio.sleep(2)

    code, said = await asyncio.to_thread(verify, scene)

    assert not told.done() and told.cancel()
    assert code == 0, said
    assert said.count("what was rebuilt from the inputs, the disk at ") == PARTITIONS
    assert await worker.stop() == 0

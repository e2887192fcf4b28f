"""Records that somebody might send by mistake: each is folded or becomes a dead letter, and what comes after it is folded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from ledger.instants import SECOND
from tests.kafka.ledger_scene import BOUNDS, LedgerScene
from tests.streams.test_header_names import Bytes

NAME = b"acme"


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[LedgerScene]:
    scene = LedgerScene(broker, prefix, tmp_path, partitions=1)
    await scene.prepare()
    yield scene
    scene.end()


async def letters(scene: LedgerScene) -> list[tuple[str, int, str]]:
    """Of each dead letter its source's topic and offset, and the code."""
    found = []
    for letter in await scene.read("dead-letter"):
        why = {name: value.decode() for name, value in letter.headers if name.startswith("seatstream.")}
        kind = why["seatstream.topic"].removeprefix(scene.topics.prefix)
        if why.get("seatstream.part", "1") == "1":
            found.append((kind, int(why["seatstream.offset"]), why["seatstream.code"]))
    return sorted(found)


def burn(id: str, **more: Any) -> bytes:
    held = {"id": id, "customer_id": "acme", "contract_id": "no", "amount": "1", "time": "2026-01-01T00:00:00Z"}
    return orjson.dumps(held | {"on_unknown": "refuse"} | more)


async def test_tombstones_missing_keys_bare_headers_and_giants_disturb_nobody(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    burns, edits, contracts = (scene.topics.name(kind) for kind in ("credit-burn", "seat-change", "contract-change"))
    async with AIOKafkaProducer(**scene.kafka, compression_type="gzip", max_request_size=64 << 20) as producer:
        for topic in (burns, edits, contracts):
            await producer.send_and_wait(topic, None, key=NAME)
        await producer.send_and_wait(burns, b"", key=b"")
        await producer.send_and_wait(burns, burn("no-key"))
        await producer.send_and_wait(burns, burn("a", on_unknown="wait"), key=NAME, headers=[("bare", None)])
        # Small on its way, and larger than any message of ours may be where it is unpacked.
        await producer.send_and_wait(burns, b"0" * 9_000_000, key=NAME)
        await producer.send_and_wait(burns, burn("b", on_unknown="wait"), key=NAME, headers=[("h", b"0" * 9_000_000)])
        await producer.send_and_wait(burns, burn("c", on_unknown="wait"), key=b"0" * 9_000_000)
        await asyncio.sleep(BOUNDS["wait"] / SECOND + 0.5)
        await producer.send_and_wait(scene.topics.name("control"), b"\xff", key=b"k")
    await scene.folded()

    assert await worker.stop() == 0
    # How many ticks came before the one that is none, nobody knows.
    (_,) = [letter for letter in await letters(scene) if letter[0] == "control"]
    assert [letter for letter in await letters(scene) if letter[0] != "control"] == [
        ("contract-change", 0, "unreadable"),
        ("credit-burn", 0, "unreadable"),
        ("credit-burn", 1, "unreadable"),
        ("credit-burn", 2, "unknown_contract"),
        ("credit-burn", 3, "wait_over"),
        ("credit-burn", 4, "too_large"),
        ("credit-burn", 5, "too_large"),
        ("credit-burn", 6, "too_large"),
        ("seat-change", 0, "unreadable"),
    ]


async def test_a_header_named_in_no_language_stops_nobody(scene: LedgerScene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    topic = scene.topics.name("credit-burn")
    async with AIOKafkaProducer(**scene.kafka) as producer:
        odd = producer.create_batch()
        odd._builder = _DefaultRecordBatchBuilderPy(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=1 << 20,
        )
        odd.append(timestamp=None, key=NAME, value=burn("a"), headers=[(Bytes("\xff\xfe"), b"1")])
        await (await producer.send_batch(odd, topic, partition=0))
        await producer.send_and_wait(topic, burn("b"), key=NAME)
    await scene.folded()

    assert await worker.stop() == 0
    assert await letters(scene) == [("credit-burn", 0, "unknown_contract"), ("credit-burn", 1, "unknown_contract")]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_producers_may_compress_as_they_like(scene: LedgerScene, codec: str) -> None:
    worker = scene.worker("a")
    await worker.folds()
    async with AIOKafkaProducer(**scene.kafka, compression_type=codec) as producer:
        await producer.send_and_wait(scene.topics.name("credit-burn"), burn("a"), key=NAME)
    await scene.folded()

    assert await worker.stop() == 0
    assert await letters(scene) == [("credit-burn", 0, "unknown_contract")]

"""What a worker exposes over HTTP, after facts went through a real Kafka."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from tests.kafka.scene import Scene
from tests.promtool import promtool

FACTS: dict[str, list[dict[str, Any]]] = {
    "contract-change": [
        {"type": "contract.created", "id": "k", "customer_id": "acme", "contract_id": "c", "time": "2026-03-01T00:00:00Z",
         "grants": [{"grant_id": "g", "amount": "10"}]},
    ],
    "credit-burn": [
        {"id": f"b{n}", "customer_id": "acme", "contract_id": "c", "amount": "1", "time": "2026-03-02T00:00:00Z"}
        for n in (1, 2, 3, 3)
    ],
}  # fmt: skip


@pytest_asyncio.fixture
async def scene(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[Scene]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scene = Scene(broker, prefix, tmp_path, partitions=2)
    scene.program = "streams worker"
    scene.settings = {"SEATSTREAM_LATENESS": "P36500D", "SEATSTREAM_WEB": f"127.0.0.1:{port}"}
    await scene.prepare()
    yield scene
    scene.end()


async def test_what_was_folded_is_on_the_page_and_promtool_likes_it(scene: Scene) -> None:
    worker = scene.worker("a")
    await worker.folds()
    partition = scene.topics.partition_of(b"acme")
    async with AIOKafkaProducer(**scene.kafka) as producer:
        for kind, facts in FACTS.items():
            for fact in facts:
                await producer.send_and_wait(scene.topics.name(kind), orjson.dumps(fact), b"acme", partition)
    await scene.folded()
    await asyncio.sleep(1)

    page = await fetch(f"http://{scene.settings['SEATSTREAM_WEB']}/metrics")

    held = {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert held["seatstream_facts_total", "folded", "contract-change"] == 1
    assert held["seatstream_facts_total", "folded", "credit-burn"] == 3
    assert held["seatstream_facts_total", "repeated", "credit-burn"] == 1
    assert held["seatstream_lag_records", str(partition), "credit-burn"] == 0
    assert held["seatstream_stopped_partitions", str(partition)] == 0
    assert held["seatstream_event_to_commit_seconds_count",] >= 5
    assert held["seatstream_table_rows", "state"] > 0
    assert "acme" not in page
    found = promtool("check", "metrics", said=page.encode())
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


async def fetch(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()

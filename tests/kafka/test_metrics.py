"""What a worker exposes over HTTP, after facts went through a real Kafka."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from tests.board import targets
from tests.debian import program
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


async def test_every_question_of_the_board_has_an_answer(scene: Scene, tmp_path: Path) -> None:
    """A real Prometheus looks at a real worker, and is asked what Grafana would ask."""
    worker = scene.worker("a")
    await worker.folds()
    partition = scene.topics.partition_of(b"acme")
    rule = {
        "rule_id": "low",
        "name": "Low",
        "metric": "balance",
        "scope": "pool",
        "levels": ["8.5"],
        "contract_id": "c",
    }
    refused = {"id": "no", "customer_id": "acme"}
    async with AIOKafkaProducer(**scene.kafka) as producer:
        for kind, facts in {"alert-rule": [rule], **FACTS, "seat-change": [refused]}.items():
            for fact in facts:
                key = b"low" if kind == "alert-rule" else b"acme"
                await producer.send_and_wait(scene.topics.name(kind), orjson.dumps(fact), key, partition)
    await scene.folded()
    async with Prometheus(scene.settings["SEATSTREAM_WEB"], tmp_path) as prometheus:
        for _ in range(100):
            # Two looks at least: of one alone nobody can say how fast it rises.
            if await prometheus.ask("count_over_time(seatstream_fold_seconds_count[1m]) >= 3"):
                break
            await asyncio.sleep(0.2)
        unanswered = set()
        for title, expression, legend in targets():
            found = await prometheus.ask(expression)
            named = set(re.findall(r"{{(\w+)}}", legend))
            if not found:
                unanswered.add((title, legend))
            assert all(named <= line["metric"].keys() for line in found), (title, expression)
    # Nobody is sent anything here.
    assert unanswered == {("Webhooks", "{{outcome}}")}


class Prometheus:
    """Debian's, with one worker to look at every second."""

    def __init__(self, worker: str, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        job = {"job_name": "seatstream", "static_configs": [{"targets": [worker]}]}
        config = directory / "prometheus.yml"
        config.write_bytes(orjson.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        self._command = [
            program("prometheus", "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={self._address}", "--log.level=error",
        ]  # fmt: skip

    async def __aenter__(self) -> "Prometheus":
        self._process = await asyncio.create_subprocess_exec(*self._command)
        self._session = aiohttp.ClientSession()
        for _ in range(200):
            with suppress(aiohttp.ClientError):
                async with self._session.get(f"http://{self._address}/-/ready") as answer:
                    if answer.status == 200:
                        return self
            await asyncio.sleep(0.1)
        raise AssertionError("Prometheus does not start")

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), 20)

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        async with self._session.get(f"http://{self._address}/api/v1/query", params={"query": expression}) as answer:
            held = orjson.loads(await answer.read())
            assert held["status"] == "success", (expression, held)
            found: list[dict[str, Any]] = held["data"]["result"]
            return found


async def fetch(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()

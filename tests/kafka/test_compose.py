"""The Kafka of `docker-compose.kafka.yml` starts as it is told there, without Docker: the same version, the same settings."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from streams.broker import HOST, _brokers_seen_by, _free_ports, _java, _Node, cluster_id
from streams.kafka_jars import class_path
from tests.kafka.scene import Scene
from tests.test_compose import ROOT, SERVICES


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As in the compose file, but for where it listens and keeps its data."""
    tmp_path = tmp_path_factory.mktemp("kafka")
    inside, outside, controller = _free_ports(3)
    told = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in SERVICES["kafka"]["environment"].items()
    }
    for name, value in told.items():
        moved = value.replace("://:", f"://{HOST}:").replace("kafka:", f"{HOST}:")
        for was, now in (("19092", inside), ("29093", controller), (":9092", f":{outside}")):
            moved = moved.replace(was, str(now))
        told[name] = moved
    told["log.dirs"] = str(tmp_path / "data")
    node = _Node(1, outside, tmp_path / "node", [_java(), "-cp", os.pathsep.join(map(str, class_path()))], "")
    node.configure({**told})
    (tmp_path / "cluster").mkdir()
    node.format(cluster_id(tmp_path / "cluster", 1))
    node.start()
    try:
        deadline = time.monotonic() + 60
        while not _brokers_seen_by(outside):
            node.check()
            assert time.monotonic() < deadline, node.last_words()
            time.sleep(0.1)
        yield f"{HOST}:{outside}"
    finally:
        node.kill()


async def test_it_serves_transactions_to_this_machine(kafka: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id="t") as producer, producer.transaction():
        pass


async def test_a_worker_serves_prometheus_with_the_token_that_was_made_for_it(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (command,) = SERVICES["tokens"]["command"]
    seatstream = f"{sys.executable} -m streams"
    made = command.replace("seatstream", seatstream).replace("/tokens/", f"{tokens}/")
    await asyncio.to_thread(subprocess.run, ["sh", "-ec", made], cwd=ROOT, check=True)
    (port,) = _free_ports(1)
    scene = Scene(kafka, prefix, tmp_path, partitions=1)
    scene.program = "streams worker"
    scene.settings = SERVICES["worker-1"]["environment"] | {
        "SEATSTREAM_BROKER": f"kafka://{kafka}",
        "SEATSTREAM_PARTITIONS": "1",
        "SEATSTREAM_DATA": str(tmp_path / "a"),
        "SEATSTREAM_TOKENS": str(tokens / "tokens"),
        "SEATSTREAM_WEB": f"0.0.0.0:{port}",
    }
    worker = scene.worker("a")
    try:
        await worker.folds()
        check = [sys.executable, *SERVICES["worker-1"]["healthcheck"]["test"][2:]]
        await asyncio.to_thread(subprocess.run, [word.replace("6066", str(port)) for word in check], check=True)
        url = f"http://127.0.0.1:{port}/metrics"
        async with aiohttp.ClientSession() as session:
            token = (tokens / "metrics").read_text().strip()
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 200
            async with session.get(url) as answer:
                assert answer.status == 401
    finally:
        scene.end()
    assert token not in worker.log.read_text()

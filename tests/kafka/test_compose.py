"""The Kafka of `docker-compose.kafka.yml` starts as it is told there, without Docker: the same version, the same settings."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.broker import HOST, _brokers_seen_by, _free_ports, _java, _Node, cluster_id
from streams.kafka_jars import class_path
from tests.test_compose import SERVICES


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[str]:
    """As in the compose file, but for where it listens and keeps its data."""
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

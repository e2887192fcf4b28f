"""The embedded broker is the real one: it keeps, commits, stops and comes back."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.broker import HOST, Broker, BrokerError


async def test_a_record_comes_back_as_it_went(broker: str, prefix: str) -> None:
    topic = await created(broker, f"{prefix}facts")

    await produce(broker, topic, b"ten seats")

    assert await consumed(broker, topic, 1) == [b"ten seats"]


async def test_only_what_a_transaction_committed_is_read(broker: str, prefix: str) -> None:
    topic = await created(broker, f"{prefix}facts")
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"{prefix}writer")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")
    finally:
        await producer.stop()

    assert await consumed(broker, topic, 1) == [b"committed"]


async def test_a_topic_that_nobody_created_does_not_appear(broker: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.describe_topics([f"{prefix}misspelt"])
        topics = await admin.list_topics()
    finally:
        await admin.close()

    assert f"{prefix}misspelt" not in topics


def test_what_was_written_to_a_data_directory_is_there_after_a_restart(tmp_path: Path) -> None:
    with Broker(data=tmp_path) as first:
        topic = asyncio.run(created(first.bootstrap, "facts"))
        asyncio.run(produce(first.bootstrap, topic, b"kept"))

    with Broker(data=tmp_path) as second:
        assert asyncio.run(consumed(second.bootstrap, topic, 1)) == [b"kept"]


def test_three_nodes_go_on_while_one_of_them_is_dead() -> None:
    with Broker(nodes=3) as cluster:
        topic = asyncio.run(created(cluster.bootstrap, "facts", replicas=3))

        cluster.kill(2)
        asyncio.run(produce(cluster.bootstrap, topic, b"by two of three"))

        assert asyncio.run(consumed(cluster.bootstrap, topic, 1)) == [b"by two of three"]
        cluster.restart(2)
        assert asyncio.run(consumed(cluster.bootstrap, topic, 1)) == [b"by two of three"]


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(BrokerError, match=rf"port {port} on {HOST} can't be used \(.*in use\): .* --port"):
            Broker(port=port).start()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly_when_it_is_told_to(sent: signal.Signals) -> None:
    command = started_command()
    bootstrap = announced(command)

    command.send_signal(sent)
    _, errors = command.communicate(timeout=30)

    assert (command.returncode, errors) == (0, "")
    assert not answers(bootstrap)


def test_neither_java_nor_its_files_outlive_a_command_that_was_killed() -> None:
    command = started_command()
    bootstrap = announced(command)
    assert command.stdout is not None
    log = Path(command.stdout.readline().removeprefix("log: ").strip())
    assert log.exists()

    command.kill()
    command.communicate(timeout=30)

    deadline = time.monotonic() + 10
    while (answers(bootstrap) or log.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(bootstrap)
    assert not log.exists()


def started_command() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams", "broker", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def announced(command: subprocess.Popen[str]) -> str:
    assert command.stdout is not None
    assert command.stderr is not None
    # Kafka 4.2.0 serves 127.0.0.1:21234; Ctrl-C stops it
    line = command.stdout.readline()
    assert "serves " in line, command.stderr.read()
    return line.split("serves ")[1].split(";")[0]


def answers(bootstrap: str) -> bool:
    host, port = bootstrap.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


async def created(bootstrap: str, topic: str, replicas: int = 1) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replicas)])
    finally:
        await admin.close()
    return topic


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consumed(bootstrap: str, topic: str, number: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(number)]
    finally:
        await consumer.stop()

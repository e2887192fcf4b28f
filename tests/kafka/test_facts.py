"""`seatstream facts` against the real broker: lines in, messages on the right topics and partitions."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from wire.topics import partition_of

ROOT = Path(__file__).parents[2]
SENDS = (
    "import argparse; from streams import facts; parser = argparse.ArgumentParser(); facts.add_arguments(parser);"
    "raise SystemExit(facts.run(parser.parse_args()))"
)


def send(lines: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", SENDS],
        input=lines,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


async def test_lines_arrive_on_their_topics_under_their_customers(broker: str, prefix: str) -> None:
    burns = [
        b'{"id": "run-%d", "customer_id": "c-%d", "amount": 1, "time": "2026-03-16T00:00:00Z"}' % (n, n % 7)
        for n in range(3_000)
    ]
    large = burns[0].replace(b"}", b', "x": "%s"}' % (b"x" * 1_000_000))
    lines = b"\n".join([*burns, b"not json", large])
    sent = send(lines, SEATSTREAM_BROKER=f"kafka://{broker}", SEATSTREAM_PREFIX=prefix, SEATSTREAM_PARTITIONS="4")

    assert sent.returncode == 1
    said = sent.stderr.decode()
    assert "line 3001: unreadable" in said
    assert "sent 3,001 to credit-burn; 1 lines not sent" in said

    consumer = AIOKafkaConsumer(
        f"{prefix}credit-burn",
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        group_id=None,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in range(3_001)]
    finally:
        await consumer.stop()
    assert sorted(record.value for record in records) == sorted([*burns, large])
    assert all(record.partition == partition_of(record.key, 4) for record in records)
    # The facts of one customer arrive in the order of the lines.
    for customer in {record.key for record in records}:
        of = [record.value for record in records if record.key == customer]
        assert of == [line for line in [*burns, large] if b'"%s"' % customer in line]


def test_where_there_is_no_kafka_that_is_said() -> None:
    sent = send(b"", SEATSTREAM_BROKER="kafka://127.0.0.1:1")

    assert sent.returncode == 1
    assert b"no Kafka to send to at 127.0.0.1:1" in sent.stderr


def test_a_setting_that_cannot_be_used_is_said() -> None:
    sent = send(b"", SEATSTREAM_PARTITIONS="many")

    assert sent.returncode == 1
    assert b"SEATSTREAM_PARTITIONS" in sent.stderr and b"Traceback" not in sent.stderr


def test_ctrl_c_ends_it_though_its_input_is_quiet(broker: str, prefix: str) -> None:
    environment = os.environ | {"SEATSTREAM_BROKER": f"kafka://{broker}", "SEATSTREAM_PREFIX": prefix}
    with subprocess.Popen(
        [sys.executable, "-c", SENDS], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment
    ) as sending:
        assert sending.stdin is not None and sending.stderr is not None
        sending.stdin.write(b"not json\n")
        sending.stdin.flush()
        assert b"line 1" in sending.stderr.readline()
        sending.send_signal(signal.SIGINT)

        assert sending.wait(20) == 130
        assert sending.stderr.read() == b"sent nothing; 1 lines not sent\n"


def test_a_line_too_large_for_any_message_is_told_and_the_next_is_sent(broker: str, prefix: str) -> None:
    lines = b'{"x": "%s"}\n{}\n' % (b"x" * 5_000_000)
    command = SENDS.replace("parse_args()", "parse_args(['--no-check', '--topic', 'credit-burn'])")
    environment = os.environ | {"SEATSTREAM_BROKER": f"kafka://{broker}", "SEATSTREAM_PREFIX": prefix}
    sent = subprocess.run(
        [sys.executable, "-c", command],
        input=lines,
        capture_output=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )

    assert sent.returncode == 1
    assert b"line 1: not sent" in sent.stderr and b"sent 1 to credit-burn" in sent.stderr

"""The demo as a newcomer sees it, on the real broker."""

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

ROOT = Path(__file__).parents[2]


def test_it_plays_for_so_many_seconds_and_ends_by_itself(broker: str) -> None:
    before = asyncio.run(topics_of(broker))
    demo = subprocess.run(
        command("--seconds", "24"), env=environment(broker), capture_output=True, timeout=90, check=False
    )
    said = demo.stdout.decode()

    assert demo.returncode == 0, demo.stderr.decode()
    assert "aurora-design  a contract: 80 seats" in said
    assert re.search(r"changed +aurora-design +0 -> 82 seats", said)
    assert re.search(r"refused +\w+-\w+ +\w+: ", said)
    assert re.search(r"corrected +\w+", said)
    pool = [float(left.replace(",", "")) for left in re.findall(r"boreal-bank +\d+ seats +([0-9.,]+) left", said)]
    assert any(later < earlier for earlier, later in pairwise(pool))
    assert said.endswith("That was it; nothing is left running.\n")
    # It was not its broker, so it takes its topics away again.
    assert asyncio.run(topics_of(broker)) <= before


def test_ctrl_c_ends_it_in_order(broker: str) -> None:
    with subprocess.Popen(command(), env=environment(broker), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "a contract:" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)

    assert demo.returncode == 0
    assert rest.endswith("That was it; nothing is left running.\n")


def test_ctrl_c_twice_leaves_no_worker_behind(broker: str, tmp_path: Path) -> None:
    with started(broker, tmp_path) as demo:
        worker = worker_of(tmp_path)
        demo.send_signal(signal.SIGINT)
        time.sleep(0.1)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)

    assert demo.returncode in (0, 130)
    assert_gone(worker)


def test_a_demo_that_was_killed_leaves_no_worker_behind(broker: str, tmp_path: Path) -> None:
    with started(broker, tmp_path) as demo:
        worker = worker_of(tmp_path)
        demo.kill()

    assert_gone(worker)


def test_where_there_is_no_kafka_that_is_said() -> None:
    demo = subprocess.run(command(), env=environment("127.0.0.1:1"), capture_output=True, timeout=90, check=False)

    assert demo.returncode == 1
    assert demo.stderr.startswith(b"seatstream demo: no Kafka to play on at kafka://127.0.0.1:1")
    assert b"Traceback" not in demo.stderr


def test_its_picture_is_of_what_was_seen_and_asks_nobody_for_anything(broker: str, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    arguments = command("--seconds", "12", "--picture", str(picture))
    demo = subprocess.run(arguments, env=environment(broker), capture_output=True, timeout=90, check=False)

    assert demo.returncode == 0, demo.stderr.decode()
    drawn = picture.read_text()
    assert "aurora-design" in drawn and "font-face" not in drawn
    assert set(re.findall(r"https?://[^ \"]+", drawn)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}


async def topics_of(broker: str) -> set[str]:
    """Without those that Kafka keeps for itself, which it makes when it first needs them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if not name.startswith("__")}
    finally:
        await admin.close()


def started(broker: str, directory: Path) -> subprocess.Popen[str]:
    """A demo whose worker runs."""
    variables = environment(broker) | {"TMPDIR": str(directory)}
    demo = subprocess.Popen(command(), env=variables, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "a contract:" in line:
            break
    return demo


def worker_of(directory: Path) -> Path:
    """What the worker of this demo holds a lock on for as long as it lives."""
    deadline = time.monotonic() + 30
    while not (found := list(directory.glob("seatstream-demo-*/rows/lock"))):
        assert time.monotonic() < deadline, "no worker has started"
        time.sleep(0.1)
    return found[0]


def assert_gone(lock: Path) -> None:
    """Its lock is free, or gone with the directory."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with lock.open() as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            assert time.monotonic() < deadline, "the worker still runs"
            time.sleep(0.1)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streams", "demo", *arguments]


def environment(broker: str) -> dict[str, str]:
    return {**os.environ, "SEATSTREAM_BROKER": f"kafka://{broker}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

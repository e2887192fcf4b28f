"""What every test may ask for: a broker of this run, and names of its own on it."""

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests import hurry_java

KAFKA_TESTS = Path(__file__).parent / "kafka"
# Another run may have used the same broker before, where one is named from outside.
RUN = os.urandom(4).hex()
NUMBERS = count(1)
hurry_java()
# A shell that starts us in the background has us ignore Ctrl-C, and with us every process that a test starts to press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what lives in tests/kafka, and leaves it to the end: the quick tests speak first."""
    for item in items:
        if KAFKA_TESTS in item.path.parents:
            item.add_marker("broker")
        elif item.get_closest_marker("broker") and item.path.parent.name != "faults":
            raise pytest.UsageError(f"{item.nodeid} needs a broker: tests/lanes.py looks for those elsewhere")
    items.sort(key=lambda item: [item.get_closest_marker(late) is not None for late in ("broker", "compiled")])


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """`host:port` of a real Kafka, started when the first test asks; `SEATSTREAM_TEST_BROKER` names another."""
    named = os.environ.get("SEATSTREAM_TEST_BROKER")
    if named:
        yield named.removeprefix("kafka://")
        return
    # Imported here so that tests without Kafka don't pay for it.
    from streams.broker import Broker  # noqa: PLC0415

    with Broker() as running:
        yield running.bootstrap


@pytest.fixture
def prefix() -> str:
    """Begins the topics and groups of one test, so that tests share a broker without meeting."""
    return f"t{RUN}-{next(NUMBERS)}-"

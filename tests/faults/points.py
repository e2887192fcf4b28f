"""Where a worker may be told to die, to stand still or to linger: between any two steps of a commit, and of a takeover.

Production code knows nothing of it: its methods are wrapped from the outside (`install`), in the program that the campaign
runs as a worker. What is to happen stands in a file beside the worker's disk, so that a worker that has long been folding can
still be armed: `die 3 rows sent` kills it the third time that it is there.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from streams import hands, transactions
from streams.batches import ChunkConsumer
from tables.store import Store

#: In the order in which a chunk passes them.
COMMIT: Final = (
    "folded", "begun", "some rows sent", "rows sent", "committing", "committed", "state written", "trail written",
    "acknowledged",
)  # fmt: skip
#: In the order in which a new owner passes them.
TAKEOVER: Final = ("writers started", "rows restored", "inputs sought")

#: How long a worker lingers where it is told to: shorter than its session, and others run meanwhile.
LINGER_S: Final = 5.0


def file_of(disk: Path) -> Path:
    """Where the worker with this disk looks for what is to happen."""
    return disk.with_name(f"{disk.name}.armed")


class Armed:
    """What is to happen to this worker, once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[str, int] = "", 0

    def next_at(self, point: str) -> str | None:
        """What is to be done now and here."""
        try:
            said = self._file.read_text()
        except FileNotFoundError:
            return None
        act, times, where = said.split(" ", 2)
        if where != point:
            return None
        before = self._seen[1] if self._seen[0] == said else 0
        self._seen = said, before + 1
        if before + 1 < int(times):
            return None
        self._file.unlink()
        return act

    def aims_at(self, point: str) -> bool:
        try:
            return self._file.read_text().endswith(f" {point}")
        except FileNotFoundError:
            return False

    def reach(self, point: str) -> None:
        act = self.next_at(point)
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif act == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif act == "linger":
            # Heartbeats go on: the consumer has a thread of its own.
            time.sleep(LINGER_S)


armed = Armed(Path("nothing is armed"))


def reach(point: str) -> None:
    """Here, what is to happen happens."""
    armed.reach(point)


def install(disk: Path) -> None:
    """From here on this worker can be armed."""
    global armed  # noqa: PLW0603
    armed = Armed(file_of(disk))

    class Producer(AIOKafkaProducer):  # type: ignore[misc]
        async def begin_transaction(self) -> None:
            reach("folded")
            await super().begin_transaction()
            reach("begun")

        async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
            arrival = await super().send_batch(*args, **kwargs)
            if armed.aims_at("some rows sent"):
                await asyncio.wait([arrival])
                reach("some rows sent")
            return arrival

        async def commit_transaction(self) -> None:
            reach("rows sent")
            if armed.aims_at("committing"):
                # The request is on its way, or the answer.
                asyncio.get_running_loop().call_later(
                    int.from_bytes(os.urandom(1), "big") / 50_000, reach, "committing"
                )
            await super().commit_transaction()
            reach("committed")

    put(transactions, "AIOKafkaProducer", Producer)
    _after(Store, "write", lambda store, *_: reach(f"{store.path.name.split('-')[0]} written"))
    _after(ChunkConsumer, "ack", lambda *_: reach("acknowledged"))

    restore = vars(hands)["restore"]

    async def restore_between(*args: Any) -> Any:
        reach("writers started")
        rows = await restore(*args)
        reach("rows restored")
        return rows

    put(hands, "restore", restore_between)
    start_at = ChunkConsumer.start_at

    async def start_at_and_reach(self: ChunkConsumer, *args: Any) -> Any:
        started = await start_at(self, *args)
        reach("inputs sought")
        return started

    put(ChunkConsumer, "start_at", start_at_and_reach)


def put(of: Any, name: str, by: Any) -> None:
    """From here on, this is done instead."""
    setattr(of, name, by)


def _after(of: type, name: str, then: Callable[..., None]) -> None:
    method = getattr(of, name)

    def and_then(*args: Any) -> Any:
        answer = method(*args)
        then(*args)
        return answer

    put(of, name, and_then)

"""`seatstream demo`: a company's seats and credits, live through a real Kafka.

Starts the embedded broker (or takes the one that SEATSTREAM_BROKER names) and a worker, plays three customers at a few
hundred burns a second, and shows what leaves: read committed from the output topics, as any consumer would.
"""

import argparse
import asyncio
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console
from rich.live import Live

from streams import guard, screen
from streams import settings as environment
from streams.company import Company, Said
from streams.onlooker import Seen
from streams.settings import Settings
from wire.topics import INPUTS

if TYPE_CHECKING:
    from wire.topics import Topics

PARTITIONS: Final = 4
#: How often a scope that moved is published: an hour is long for an onlooker.
SNAPSHOT: Final = "PT3S"
PLAIN_EVERY_S: Final = 2.0
STOP_TIMEOUT_S: Final = 15.0
PICTURE_SIZE: Final = (116, 36)


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, help="end by itself after so long; else with Ctrl-C")
    parser.add_argument("--rate", type=int, default=300, help="burns a second")
    parser.add_argument("--seed", type=int, default=7, help="another number is another day at these customers'")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="keep what is seen last, as SVG")


def run(args: argparse.Namespace) -> int:
    """Plays until Ctrl-C or for `--seconds`; 1 where it cannot."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from streams.broker import BrokerError  # noqa: PLC0415
    from wire.topics import TopicsUnfit  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    # Kafka's clients tell of every retry; what matters here is seen on the screen.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # Whoever ends us, the worker and the broker end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stage:
        try:
            if args.picture is not None and not args.picture.parent.is_dir():
                raise DemoFailed(f"there is no directory {args.picture.parent} for the picture")
            server = os.environ.get("SEATSTREAM_BROKER") or _started_broker(console, stage)
            directory = Path(stage.enter_context(tempfile.TemporaryDirectory(prefix="seatstream-demo-")))
            variables = _variables(server, directory)
            settings = environment.read(variables)
            stage.callback(_tidy, settings)
            with _Worker(settings, variables, directory / "worker.log") as worker:
                console.print(f"Customers, seats and their credits in a browser, live: {settings.url}/")
                asyncio.run(_play(args, worker, console))
        except (BrokerError, DemoFailed, TopicsUnfit, environment.SettingsWrong) as error:
            return _failed(str(error))
        except KafkaError as error:
            return _failed(f"no Kafka to play on at {server}: {error}")
        except KeyboardInterrupt:
            # Once is enough: what is left is to end the others in order.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    console.print("That was it; nothing is left running.")
    return 0


def _tidy(settings: Settings) -> None:
    """A broker that was there before us is left as it was; where it is gone, so are the topics."""
    if os.environ.get("SEATSTREAM_BROKER"):
        with suppress(Exception):
            asyncio.run(_forget(settings))


def _failed(why: str) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"seatstream demo: {why}", markup=False)
    return 1


def _started_broker(console: Console, stage: ExitStack) -> str:
    from streams.broker import Broker  # noqa: PLC0415

    console.print(
        "Starting Kafka: the real one, with neither Docker nor Java to install. The first time it is fetched."
    )
    begun = time.monotonic()
    broker = stage.enter_context(Broker())
    console.print(f"Kafka serves {broker.bootstrap} after {time.monotonic() - begun:.1f} s.")
    return f"kafka://{broker.bootstrap}"


def _variables(server: str, directory: Path) -> dict[str, str]:
    """The worker's settings. Topics of its own each time: a broker that is there for longer has other things to do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Who we are, and in how many copies topics are kept, is the broker's affair.
    kept = ("SEATSTREAM_KAFKA_", "SEATSTREAM_REPLICATION")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | {
        "SEATSTREAM_BROKER": server,
        "SEATSTREAM_PREFIX": f"demo-{os.urandom(3).hex()}-",
        "SEATSTREAM_PARTITIONS": str(PARTITIONS),
        "SEATSTREAM_DATA": str(directory / "rows"),
        "SEATSTREAM_WEB": f"127.0.0.1:{port}",
        "SEATSTREAM_SNAPSHOT": SNAPSHOT,
    }


class _Worker(AbstractContextManager["_Worker"]):
    """`seatstream worker` in a process of its own."""

    def __init__(self, settings: Settings, variables: Mapping[str, str], log: Path) -> None:
        self.settings = settings
        self._log = log
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEATSTREAM_")}
        root = str(Path(__file__).parents[1])
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "streams", "worker", "--log", "warning"]
        with log.open("wb") as out:
            self._process = guard.start(command, out, temporary=str(log.parent), env=kept | dict(variables))

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave it behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            guard.tell(self._process, signal.SIGTERM)
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            guard.tell(self._process, signal.SIGKILL)
            self._process.wait()
        finally:
            signal.signal(signal.SIGINT, before)

    async def watch(self) -> None:
        """Ends only where the worker does, or where one of its partitions stands still."""
        while True:
            said = self._log.read_text(errors="replace")
            if self._process.poll() is not None or "stands still" in said:
                raise DemoFailed(f"the worker ended:\n{said[-2_000:]}")
            await asyncio.sleep(0.5)


# --- the play --------------------------------------------------------------------------------------------------------


async def _play(args: argparse.Namespace, worker: _Worker, console: Console) -> None:
    from wire.topics import ensure  # noqa: PLC0415

    settings = worker.settings
    topics = await ensure(settings.topics, settings.kafka())
    company = Company(random.Random(args.seed), time.time_ns() // 1000)
    seen = Seen(company.customers)
    tasks = [
        asyncio.create_task(one)
        for one in (
            _tell(company, seen, settings, topics, args.rate),
            _listen(seen, settings, topics),
            _measure(seen, settings, topics),
            _show(seen, console),
            worker.watch(),
        )
    ]
    try:
        done, _ = await asyncio.wait(tasks, timeout=args.seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        console.print(seen.summary())
        if args.picture is not None:
            args.picture.write_text(_picture(seen))


async def _forget(settings: Settings) -> None:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415

    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in settings.topics.all()])
    finally:
        await admin.close()


async def _tell(company: Company, seen: Seen, settings: Settings, topics: "Topics", rate: int) -> None:
    """Sends what the company says, at its pace."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    async with AIOKafkaProducer(**settings.kafka(), linger_ms=5) as producer:
        sent: deque[asyncio.Future[Any]] = deque(maxlen=100)

        async def send(said: Said) -> None:
            # Without a partitioner of ours: the key decides, as for any producer.
            sent.append(await producer.send(topics.name(said.topic), said.value, key=said.key.encode()))
            seen.told(said)

        for said in company.opening():
            await send(said)
        # Nobody works before the contract is there.
        await asyncio.gather(*sent)
        begun, burns, seconds = time.monotonic(), 0, 0
        while True:
            now = time.time_ns() // 1000
            passed = time.monotonic() - begun
            while burns < passed * rate:
                await send(company.burn(now))
                burns += 1
            while seconds < passed:
                for said in company.news(now):
                    await send(said)
                seconds += 1
            await asyncio.sleep(0.02)


async def _listen(seen: Seen, settings: Settings, topics: "Topics") -> None:
    """Reads what leaves, as a dashboard or a notifier would."""
    from wire.consumer import Consumer  # noqa: PLC0415

    consumer = Consumer(
        topics.name("history-snapshot"),
        topics.name("threshold-alert"),
        topics.name("dead-letter"),
        **settings.kafka(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=None,
    )
    async with consumer:
        async for record in consumer:
            match topics.kind(record.topic):
                case "dead-letter":
                    seen.refused(record.key, dict(record.headers))
                case "threshold-alert":
                    seen.alerted(orjson.loads(record.value))
                case _:
                    seen.published(orjson.loads(record.value))


async def _measure(seen: Seen, settings: Settings, topics: "Topics") -> None:
    """How far the worker has folded, and how much there is."""
    from aiokafka import TopicPartition  # noqa: PLC0415

    from wire.consumer import Consumer  # noqa: PLC0415

    sources = [
        TopicPartition(topics.name(kind), partition) for kind in INPUTS for partition in range(topics.partitions)
    ]
    reader = Consumer(**settings.kafka(), group_id=settings.group, enable_auto_commit=False)
    async with reader:
        reader.assign(sources)
        while True:
            ends = await reader.end_offsets(sources)
            folded = {tp: await reader.committed(tp) or 0 for tp in sources if ends[tp]}
            seen.measured(sum(folded.values()), sum(ends.values()))
            await asyncio.sleep(0.5)


async def _show(seen: Seen, console: Console) -> None:
    """A screen that stays where it is; without a terminal, plain lines."""
    if not console.is_terminal:
        while True:
            for line in screen.plain(seen):
                console.print(line, markup=False)
            await asyncio.sleep(PLAIN_EVERY_S)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(screen.screen(seen, *console.size), refresh=True)
            await asyncio.sleep(0.125)


def _picture(seen: Seen) -> str:
    width, height = PICTURE_SIZE
    with Path(os.devnull).open("w") as nowhere:
        paper = Console(record=True, file=nowhere, width=width, force_terminal=True, highlight=False)
        paper.print(screen.screen(seen, width, height))
    drawn = paper.export_svg(title="seatstream demo", unique_id="demo")
    # Without fonts from elsewhere: a picture asks nobody for anything.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)

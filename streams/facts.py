"""`seatstream facts`: JSON lines from standard input to the topics that they belong to.

Each line is read first as a worker would read it: what could only become a dead letter is told with its line and not
sent, unless `--no-check` says so. Notes and questions of a story (`seatstream play`) are passed by.
"""

import argparse
import asyncio
import os
import sys
from asyncio import Future
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import Thread
from typing import Any, Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ledger.facts import Topic
from streams.stories import TOPICS, Bad, Note, Question, Told, step, topic_of
from wire.fields import Unfit, parse

#: So many messages may be on their way; then reading waits for the broker.
IN_FLIGHT = 10_000
CHUNK_BYTES = 1 << 16
#: A message may be up to 1 MB, and the broker is the one to say if it is too large.
REQUEST_BYTES = 4 << 20
SHOWN_EVERY = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-check", dest="check", action="store_false", help="send every line as it is, unread")
    parser.add_argument("--topic", choices=TOPICS, help="where a line belongs that does not say it itself")


def run(args: argparse.Namespace) -> int:
    # Kafka's clients take a while to load, and `--help` needs none.
    from streams import settings  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        told = asyncio.run(_publish_input(settings.read(), args.check, args.topic, console))
    except settings.SettingsWrong as wrong:
        console.print(str(wrong), markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if told is None or told.bad else 0


class Producer(Protocol):
    """What is needed of aiokafka's producer."""

    async def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> Future[Any]: ...


class Publisher:
    """Sends lines, and counts what became of them."""

    def __init__(self, producer: Producer, prefix: str, check: bool, topic: Topic | None, console: Console) -> None:
        self.producer = producer
        self.prefix = prefix
        self.check = check
        self.topic = topic
        self.console = console
        self.sent: dict[str, int] = {}
        self.bad = 0
        self._line = 0
        self._room = asyncio.Semaphore(IN_FLIGHT)

    async def tell(self, line: bytes) -> None:
        """Sends one line, or says why not. Waits only while too many are on their way."""
        self._line += 1
        said = line.strip()
        if not said:
            return
        topic, key = self._checked(said) if self.check else self._as_it_is(said)
        if topic is not None:
            number = self._line
            await self._room.acquire()
            try:
                sending = await self.producer.send(self.prefix + topic, said, key)
            except Exception as error:
                # Too large for any message, say, or the broker is gone for good.
                self._room.release()
                self._refuse(number, f"not sent: {error}")
                return
            sending.add_done_callback(lambda sent: self._done(sent, topic, number))

    async def finish(self) -> None:
        """Waits until nothing is on its way any more."""
        for _ in range(IN_FLIGHT):
            await self._room.acquire()

    def _checked(self, said: bytes) -> tuple[str | None, bytes | None]:
        found = step(said, self.topic)
        match found:
            case Told():
                return found.topic, found.fact.customer_id.encode()
            case Bad():
                self._refuse(self._line, f"{found.code}: {found.reason}")
                return None, None
            case Note() | Question():
                return None, None

    def _as_it_is(self, said: bytes) -> tuple[str | None, bytes | None]:
        try:
            held = parse(said)
            topic = self.topic if self.topic is not None and "topic" not in held else topic_of(held)
        except Unfit as unfit:
            if self.topic is not None:
                return self.topic, None
            self._refuse(self._line, f"{unfit.code}: {unfit.field or 'the line'} {unfit.said}")
            return None, None
        return topic, _key(held)

    def _done(self, sent: "Future[Any]", topic: str, number: int) -> None:
        self._room.release()
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            self._refuse(number, f"not sent: {error}")
        else:
            self.sent[topic] = self.sent.get(topic, 0) + 1

    def _refuse(self, number: int, reason: str) -> None:
        self.bad += 1
        self.console.print(f"line {number}: {reason}", markup=False)


def summary(publisher: Publisher) -> str:
    sent = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(publisher.sent.items()))
    return f"sent {sent or 'nothing'}" + (f"; {publisher.bad:,} lines not sent" if publisher.bad else "")


async def _publish_input(settings: Any, check: bool, topic: Topic | None, console: Console) -> Publisher | None:
    """All of standard input; None where there is no Kafka to send it to, which is said."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from wire.topics import TopicsUnfit, ensure  # noqa: PLC0415

    try:
        topics = await ensure(settings.topics, settings.kafka())
        producer = AIOKafkaProducer(
            **settings.kafka(), enable_idempotence=True, linger_ms=5, max_request_size=REQUEST_BYTES
        )
        await producer.start()
    except TopicsUnfit as error:
        console.print(f"seatstream facts: {error}", markup=False)
        return None
    except (KafkaError, OSError) as error:
        servers = ", ".join(settings.broker)
        console.print(f"seatstream facts: no Kafka to send to at {servers}: {error}", markup=False)
        return None
    publisher = Publisher(producer, topics.prefix, check, topic, console)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("waiting for facts")
            number = 0
            async for line in _lines(sys.stdin.fileno()):
                await publisher.tell(line)
                number += 1
                if number % SHOWN_EVERY == 0:
                    progress.update(task, description=summary(publisher))
            await publisher.finish()
    finally:
        await producer.stop()
        console.print(summary(publisher))
    return publisher


async def _lines(descriptor: int) -> AsyncIterator[bytes]:
    """Lines as they come: a slow pipe is not waited for until a buffer is full."""
    loop, chunks = asyncio.get_running_loop(), asyncio.Queue[bytes](1)

    def read() -> None:
        # Where nobody waits for the lines any more, the loop is closed.
        with suppress(RuntimeError, CancelledError):
            while chunk := os.read(descriptor, CHUNK_BYTES):
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            asyncio.run_coroutine_threadsafe(chunks.put(b""), loop).result()

    # Of its own, and not asyncio's: that would be waited for at the end, and a read of a quiet pipe may never end.
    Thread(target=read, daemon=True).start()
    rest = b""
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def _key(held: Mapping[str, Any]) -> bytes | None:
    customer_id = held.get("customer_id")
    return customer_id.encode() if isinstance(customer_id, str) else None

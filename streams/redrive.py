"""`seatstream redrive`: sends dead letters again, to the topics that they came from.

As they came: key, value and headers. A fact that was refused for what was missing is tried anew; one that broke a rule is
remembered with its refusal (L4), and what never could be read still cannot: those come back as they went.

An alert that no webhook took is sent to that webhook and not to its topic, and only where `--code undelivered` or
`--topic threshold-alert` asks for it: each time that it is asked for, as nobody notes what arrived. Those of one customer to
one webhook go one after the other, as they were said; where one is not taken, those behind it are left for the next time.
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from alerts.webhooks import Receiver, body_of
from ledger import instants
from ledger.instants import FOREVER, ORIGIN, Instant, InstantError
from streams.webhooks import UNDELIVERED, ReceiverFile, Refused, Sender
from wire.fields import Unfit, parse
from wire.outputs import WEBHOOK_HEADER
from wire.topics import INPUTS, Topics

ALERTS: Final = "threshold-alert"
SHOWN_EVERY: Final = 500
#: So many may be on their way at a time.
IN_FLIGHT: Final = 1_000
#: So many webhooks, or customers of one, are sent their alerts at a time: whoever waits for a connection has less time to answer.
LINES_AT_A_TIME: Final = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--code",
        action="append",
        metavar="CODE",
        help=f"refused with this code; may repeat. {UNDELIVERED}: alerts that no webhook took, all of them each time",
    )
    parser.add_argument("--customer", metavar="ID", help="of this customer")
    parser.add_argument(
        "--topic", choices=(*INPUTS, ALERTS), help=f"sent to this topic; {ALERTS}: as --code {UNDELIVERED}"
    )
    parser.add_argument(
        "--since", type=_instant, default=ORIGIN, metavar="INSTANT", help="sent at this instant or later"
    )
    parser.add_argument("--until", type=_instant, default=FOREVER, metavar="INSTANT", help="sent before this instant")
    parser.add_argument("--dry-run", action="store_true", help="send nothing, say what would be sent")


def run(args: argparse.Namespace) -> int:
    from streams import settings  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    choice = Choice(frozenset(args.code or ()), args.customer, args.topic, args.since, args.until)
    try:
        return asyncio.run(_redrive(settings.read(), choice, args.dry_run, console))
    except settings.SettingsWrong as wrong:
        console.print(str(wrong), markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _instant(text: str) -> Instant:
    try:
        return instants.instant(text)
    except InstantError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant; write 2026-03-16T09:30:00Z") from None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the message as it was sent, where to and when, and why it was refused."""

    kind: str
    partition: int
    sent_at: Instant
    code: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    #: Who did not take an alert, under which id it was sent, and where it stands among the others of its partition.
    receiver: Receiver | None = None
    id: str = ""
    offset: int = 0

    @property
    def customer_id(self) -> str | None:
        """Whose it is: what the body says, else the key."""
        try:
            said = parse(self.value or b"").get("customer_id")
        except Unfit:
            said = None
        if isinstance(said, str):
            return said
        return None if self.key is None else self.key.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant; no codes: whatever they were refused for, but alerts only where their topic is named."""

    codes: frozenset[str]
    customer_id: str | None = None
    kind: str | None = None
    since: Instant = ORIGIN
    until: Instant = FOREVER

    def means(self, letter: Letter) -> bool:
        return (
            (letter.code in self.codes if self.codes else letter.kind != ALERTS or self.kind == ALERTS)
            and self.since <= letter.sent_at < self.until
            and self.kind in (None, letter.kind)
            and self.customer_id in (None, letter.customer_id)
        )


@dataclass(slots=True)
class Reader:
    """Puts letters together: one whose value is larger than a message lies in several."""

    topics: Topics
    _pieces: dict[tuple[bytes | None, ...], list[bytes]] = field(default_factory=dict)

    def letter(self, record: Any) -> Letter | None:
        """The letter that this record is, or ends; None where more of it is to come."""
        why = {name: value for name, value in record.headers if name.startswith("seatstream.")}
        value = record.value
        if "seatstream.parts" in why:
            of = tuple(why[f"seatstream.{name}"] for name in ("topic", "partition", "offset"))
            pieces = self._pieces.setdefault(of, [])
            pieces.append(value)
            if len(pieces) < int(why["seatstream.parts"]):
                return None
            value = b"".join(self._pieces.pop(of))
        return Letter(
            self.topics.kind(why["seatstream.topic"].decode()),
            int(why["seatstream.partition"]),
            instants.instant(why["seatstream.timestamp"].decode()),
            why["seatstream.code"].decode(),
            record.key,
            value,
            [(name, said) for name, said in record.headers if not name.startswith("seatstream.")],
            msgspec.json.decode(why[WEBHOOK_HEADER], type=Receiver) if WEBHOOK_HEADER in why else None,
            (why.get("seatstream.id") or b"").decode(),
            int(why["seatstream.offset"]),
        )


async def _redrive(settings: Any, choice: Choice, dry_run: bool, console: Console) -> int:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from wire.topics import OWN_MESSAGE_BYTES, TopicsUnfit, ensure  # noqa: PLC0415

    webhooks = None
    if settings.webhooks is not None:
        file = ReceiverFile(settings.webhooks)
        webhooks = Sender(lambda: file.receivers)
    found: Counter[tuple[str, str]] = Counter()
    failed: Counter[str] = Counter()
    sending: list[asyncio.Future[None]] = []
    alerts: list[Letter] = []
    read = 0
    try:
        topics = await ensure(settings.topics, settings.kafka())
        producer = AIOKafkaProducer(
            **settings.kafka(), enable_idempotence=True, linger_ms=5, max_request_size=OWN_MESSAGE_BYTES
        )
        await producer.start()
    except TopicsUnfit as error:
        console.print(f"seatstream redrive: {error}", markup=False)
        return 1
    except (KafkaError, OSError) as error:
        servers = ", ".join(settings.broker)
        console.print(f"seatstream redrive: no Kafka at {servers}: {error}", markup=False)
        return 1
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("reading dead letters")
            async for letter in _letters(topics, settings.kafka()):
                read += 1
                if read % SHOWN_EVERY == 0:
                    progress.update(task, description=f"{read:,} read, {found.total():,} sent")
                if not choice.means(letter):
                    continue
                if letter.kind == ALERTS:
                    alerts.append(letter)
                    continue
                found[letter.kind, letter.code] += 1
                if not dry_run:
                    sending.append(asyncio.ensure_future(_send(producer, topics, letter)))
                    if len(sending) >= IN_FLIGHT:
                        failed += await _arrived(sending)
            failed += await _arrived(sending)
            lines = in_lines(alerts)
            for line in lines:
                found.update((letter.kind, letter.code) for letter in line)
            if not dry_run:
                progress.update(task, description="sending alerts")
                failed += await deliver(webhooks, lines)
    finally:
        await producer.stop()
        if webhooks is not None:
            await webhooks.close()
    _tell(console, found, failed, read, dry_run)
    return 1 if failed else 0


async def _letters(topics: Topics, kafka: dict[str, Any]) -> AsyncIterator[Letter]:
    """All letters up to now; what these cause when they are sent again comes later."""
    from aiokafka import TopicPartition  # noqa: PLC0415

    from wire.consumer import Consumer  # noqa: PLC0415

    places = [TopicPartition(topics.name("dead-letter"), partition) for partition in range(topics.partitions)]
    reader = Reader(topics)
    # Said here: a seek to the beginning can lose against the consumer's own first look for where the ends are.
    async with Consumer(
        **kafka, group_id=None, enable_auto_commit=False, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while open_places := [place for place in places if await consumer.position(place) < ends[place]]:
            for place, records in (await consumer.getmany(*open_places, timeout_ms=500)).items():
                for record in records:
                    if record.offset < ends[place] and (letter := reader.letter(record)) is not None:
                        yield letter


async def _send(producer: Any, topics: Topics, letter: Letter) -> None:
    """What has no key goes where its customer is, if it says one."""
    key, partition = letter.key, letter.partition if letter.kind == "control" else None
    if key is None and partition is None and (customer_id := letter.customer_id) is not None:
        key = customer_id.encode()
    await producer.send_and_wait(topics.name(letter.kind), letter.value, key, partition, headers=list(letter.headers))


def in_lines(alerts: Iterable[Letter]) -> list[list[Letter]]:
    """What goes to one receiver from one customer, in the order in which it was said; what was buried twice, once."""
    lines: defaultdict[tuple[Receiver | None, bytes | None], dict[str, Letter]] = defaultdict(dict)
    for letter in alerts:
        lines[letter.receiver, letter.key][letter.id] = letter
    return [sorted(line.values(), key=lambda letter: (letter.partition, letter.offset)) for line in lines.values()]


async def deliver(webhooks: Sender | None, lines: Iterable[Sequence[Letter]]) -> Counter[str]:
    """Sends all lines, some side by side; why some letters were not taken."""
    few = asyncio.Semaphore(LINES_AT_A_TIME)

    async def one(line: Sequence[Letter]) -> Counter[str]:
        async with few:
            return await _deliver(webhooks, line)

    return sum(await asyncio.gather(*map(one, lines)), Counter())


async def _deliver(webhooks: Sender | None, line: Sequence[Letter]) -> Counter[str]:
    """One after the other, up to the first that is not taken."""
    for behind, letter in zip(range(len(line) - 1, -1, -1), line, strict=True):
        try:
            if webhooks is None or letter.receiver is None:
                raise Refused("SEATSTREAM_WEBHOOKS names no file, so nothing can be signed")
            await webhooks.send(letter.receiver, letter.id, body_of(orjson.loads(letter.value or b"{}")))
        except Exception as error:
            return Counter({f"{type(error).__name__}: {error}": 1}) + Counter({"one before it was not taken": behind})
    return Counter()


async def _arrived(sending: list[asyncio.Future[None]]) -> Counter[str]:
    """Waits for what is on its way; why some of it did not arrive."""
    ends = await asyncio.gather(*sending, return_exceptions=True)
    sending.clear()
    return Counter(f"{type(end).__name__}: {end}" for end in ends if end is not None)


def _tell(console: Console, found: Counter[tuple[str, str]], failed: Counter[str], read: int, dry_run: bool) -> None:
    sent = found.total() - failed.total()
    console.print(f"{'would send' if dry_run else 'sent'} {sent:,} of {read:,} dead letters again")
    if found:
        table = Table("topic", "code", "letters")
        for (kind, code), count in sorted(found.items()):
            table.add_row(kind, code, f"{count:,}")
        console.print(table)
    for said, count in failed.items():
        console.print(f"{count:,} could not be sent: {said}", markup=False)

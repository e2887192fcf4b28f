"""`seatstream demo`: a company's seats and credits, live through a real Kafka.

Starts the embedded broker (or takes the one that SEATSTREAM_BROKER names) and a worker, plays three customers at a few
hundred burns a second, and shows what leaves: read committed from the output topics, as any consumer would.
"""

import argparse
import asyncio
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams import settings as environment
from streams.company import Company, Said
from streams.settings import Settings
from wire.topics import INPUTS

if TYPE_CHECKING:
    from wire.topics import Topics

PARTITIONS: Final = 4
#: How often a scope that moved is published: an hour is long for an onlooker.
SNAPSHOT: Final = "PT3S"
NEWS_SHOWN: Final = 14
PLAIN_EVERY_S: Final = 2.0
STOP_TIMEOUT_S: Final = 15.0


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, help="end by itself after so long; else with Ctrl-C")
    parser.add_argument("--rate", type=int, default=300, help="burns a second")
    parser.add_argument("--seed", type=int, default=7, help="another number is another day at these customers'")


def run(args: argparse.Namespace) -> int:
    """Plays until Ctrl-C or for `--seconds`; 1 where it cannot."""
    from streams.broker import BrokerError  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    # Kafka's clients tell of every retry; what matters here is seen on the screen.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # Whoever ends us, the worker and the broker end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stage:
        try:
            server = _server(console, stage)
            directory = Path(stage.enter_context(tempfile.TemporaryDirectory(prefix="seatstream-demo-")))
            variables = _variables(server, directory)
            asyncio.run(_play(args, variables, directory, console))
        except (BrokerError, DemoFailed, environment.SettingsWrong) as error:
            Console(stderr=True, highlight=False).print(f"seatstream demo: {error}", markup=False)
            return 1
        except KeyboardInterrupt:
            pass
    console.print("That was it; nothing is left running.")
    return 0


def _server(console: Console, stage: ExitStack) -> str:
    named = os.environ.get("SEATSTREAM_BROKER")
    if named:
        return named
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
    return {
        "SEATSTREAM_BROKER": server,
        "SEATSTREAM_PREFIX": f"demo-{os.urandom(3).hex()}-",
        "SEATSTREAM_PARTITIONS": str(PARTITIONS),
        "SEATSTREAM_DATA": str(directory / "rows"),
        "SEATSTREAM_WEB": f"127.0.0.1:{port}",
        "SEATSTREAM_SNAPSHOT": SNAPSHOT,
    }


# --- the play --------------------------------------------------------------------------------------------------------


async def _play(args: argparse.Namespace, variables: Mapping[str, str], directory: Path, console: Console) -> None:
    from wire.topics import ensure  # noqa: PLC0415

    settings = environment.read(variables)
    topics = await ensure(settings.topics, settings.kafka())
    now = time.time_ns() // 1000
    company = Company(random.Random(args.seed), now)
    seen = Seen(company)
    log = directory / "worker.log"
    with _Worker(variables, log) as worker:
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
    console.print(_summary(seen))


class _Worker(AbstractContextManager["_Worker"]):
    """`seatstream worker` in a process of its own."""

    def __init__(self, variables: Mapping[str, str], log: Path) -> None:
        self._log = log
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEATSTREAM_")}
        with log.open("wb") as out:
            # In a session of its own: Ctrl-C is for us, and we stop the worker in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker", "--log", "warning"],
                cwd=Path(__file__).parents[1], env=kept | dict(variables), stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def watch(self) -> None:
        """Ends only where the worker does, or where one of its partitions stands still."""
        while True:
            said = self._log.read_text(errors="replace")
            if self._process.poll() is not None or "stands still" in said:
                raise DemoFailed(f"the worker ended:\n{said[-2_000:]}")
            await asyncio.sleep(0.5)


async def _tell(company: Company, seen: "Seen", settings: Settings, topics: "Topics", rate: int) -> None:
    """Sends what the company says, at its pace."""
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    async with AIOKafkaProducer(**settings.kafka(), linger_ms=5) as producer:
        sent: deque[asyncio.Future[Any]] = deque(maxlen=100)

        async def send(said: Said) -> None:
            # Without a partitioner of ours: the key decides, as for any producer.
            sent.append(await producer.send(topics.name(said.topic), said.value, key=said.customer_id.encode()))
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


async def _listen(seen: "Seen", settings: Settings, topics: "Topics") -> None:
    """Reads what leaves, as a dashboard or a notifier would."""
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415

    consumer = AIOKafkaConsumer(
        topics.name("history-snapshot"),
        topics.name("dead-letter"),
        **settings.kafka(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=None,
    )
    async with consumer:
        async for record in consumer:
            if topics.kind(record.topic) == "dead-letter":
                seen.refused(dict(record.headers))
            else:
                seen.published(orjson.loads(record.value))


async def _measure(seen: "Seen", settings: Settings, topics: "Topics") -> None:
    """How far the worker has folded, and how much there is."""
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415

    sources = [
        TopicPartition(topics.name(kind), partition) for kind in INPUTS for partition in range(topics.partitions)
    ]
    reader = AIOKafkaConsumer(**settings.kafka(), group_id=settings.group, enable_auto_commit=False)
    async with reader:
        reader.assign(sources)
        while True:
            ends = await reader.end_offsets(sources)
            folded = {tp: await reader.committed(tp) or 0 for tp in sources if ends[tp]}
            seen.measured(sum(folded.values()), sum(ends.values()))
            await asyncio.sleep(0.5)


# --- what was seen ---------------------------------------------------------------------------------------------------


@dataclass
class Account:
    """What the snapshots said of a customer."""

    plan: str
    quantity: int = 0
    assigned: int = 0
    unassigned: int = 0
    #: By scope: what is left of what was given.
    left: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)

    def balance(self) -> tuple[Decimal, Decimal]:
        return (
            sum((left for left, _ in self.left.values()), Decimal(0)),
            sum((granted for _, granted in self.left.values()), Decimal(0)),
        )


class Seen:
    """Everything on the screen."""

    def __init__(self, company: Company) -> None:
        self.accounts = {one.customer_id: Account(one.plan) for one in company.customers}
        self.news: deque[Text] = deque(maxlen=NEWS_SHOWN)
        #: News that no line was printed for yet, where there is no screen.
        self.unprinted: deque[Text] = deque(maxlen=1_000)
        self.sent = self.folded = self.there = self.snapshots = self.corrections = self.refusals = 0
        self._begun = time.monotonic()
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=12)

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def lag(self) -> int:
        return max(0, self.there - self.folded)

    def per_second(self) -> tuple[float, float]:
        """Sent and folded, over the last few seconds."""
        if len(self._marks) < 2:
            return 0.0, 0.0
        (then, sent, folded), (now, sent_now, folded_now) = self._marks[0], self._marks[-1]
        return (sent_now - sent) / (now - then), (folded_now - folded) / (now - then)

    def told(self, said: Said) -> None:
        self.sent += 1
        if said.note:
            self._say("in", "dim", said.customer_id, said.note)

    def measured(self, folded: int, there: int) -> None:
        self.folded, self.there = folded, there
        self._marks.append((time.monotonic(), self.sent, folded))

    def refused(self, why: Mapping[str, bytes]) -> None:
        self.refusals += 1
        code, message = (why.get(f"seatstream.{name}", b"").decode() for name in ("code", "message"))
        self._say("refused", "red", "dead-letter", f"{code}: {message}")

    def published(self, said: Mapping[str, Any]) -> None:
        self.snapshots += 1
        match said["type"]:
            case "balance.snapshot" | "balance.corrected":
                self._balance(said)
            case "seats.changed" | "seats.corrected":
                self._seats(said)
            case "seats.charged":
                amount = f" for {said['amount']} {said['unit_price']['currency']}" if "amount" in said else ""
                text = f"{said['kind']}: {said['seats']} seats, {_percent(said['fraction'])} of the month{amount}"
                self._say("charged", "magenta", said["customer_id"], text)

    def _balance(self, said: Mapping[str, Any]) -> None:
        scope = said["scope"].get("seat_id", "the pool")
        account = self.accounts[said["customer_id"]]
        if said["part"] == 1:
            account.left[scope, said["credit_type"]] = Decimal(said["balance"]), Decimal(said["granted"])
        if said["type"] == "balance.corrected":
            self.corrections += 1
            was = said["previous"]["balance"]
            self._say("corrected", "yellow", said["customer_id"], f"{scope} had {said['balance']}, not {was}, left")
        elif Decimal(said["expired"]):
            text = f"{scope}: {said['expired']} credits ended unused"
            self._say("ended", "cyan", said["customer_id"], text)
        elif scope == "the pool":
            self._say("balance", "green", said["customer_id"], f"{scope}: {said['balance']} left of {said['granted']}")

    def _seats(self, said: Mapping[str, Any]) -> None:
        account = self.accounts[said["customer_id"]]
        account.quantity, account.assigned = said["quantity"], said["assigned"]
        account.unassigned = said["unassigned"]
        moved = [f"+{seat}" for seat in said["added"]] + [f"-{seat}" for seat in said["removed"]]
        names = " ".join(moved[:2]) + (f" and {len(moved) - 2} more" if len(moved) > 2 else "")
        text = f"{said['previous_quantity']} -> {said['quantity']} {names}".strip()
        self._say(said["type"].partition(".")[2], "blue", said["customer_id"], f"seats {text}")

    def _say(self, what: str, style: str, who: str, text: str) -> None:
        line = Text.assemble((f"{self.passed_s:6.1f} s  ", "dim"), (f"{what:<10}", style), (f"{who:<15}", "bold"), text)
        line.truncate(150, overflow="ellipsis")
        self.news.append(line)
        self.unprinted.append(line)


# --- how it looks ----------------------------------------------------------------------------------------------------


async def _show(seen: Seen, console: Console) -> None:
    """A screen that stays where it is; without a terminal, plain lines."""
    if not console.is_terminal:
        while True:
            while seen.unprinted:
                console.print(seen.unprinted.popleft().plain, markup=False)
            console.print(_status(seen).plain, markup=False)
            for customer_id, account in seen.accounts.items():
                left, granted = account.balance()
                console.print(f"    {customer_id:<15} {account.quantity:>4} seats {left:>12.2f} left of {granted:.2f}")
            await asyncio.sleep(PLAIN_EVERY_S)
    with Live(_screen(seen), console=console, refresh_per_second=8, transient=False) as live:
        while True:
            live.update(_screen(seen))
            await asyncio.sleep(0.125)


def _screen(seen: Seen) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1))
    for name, justify in (("customer", "left"), ("plan", "left"), ("seats", "right"), ("free", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("credits left", justify="right")
    table.add_column("", ratio=1)
    for customer_id, account in seen.accounts.items():
        left, granted = account.balance()
        bar = ProgressBar(total=float(granted) or 1.0, completed=float(left), complete_style=_colour(left, granted))
        table.add_row(
            Text(customer_id, "bold"), Text(account.plan, "dim"), str(account.quantity), str(account.unassigned),
            f"{left:,.2f}", bar,
        )  # fmt: skip
    news = Group(*seen.news, *[Text("")] * (NEWS_SHOWN - len(seen.news)))
    return Group(
        Panel(_status(seen), title="SeatStream", subtitle="Ctrl-C ends it", style="bold"),
        table,
        Panel(news, title="what goes in now and then, and what leaves", title_align="left"),
    )


def _colour(left: Decimal, granted: Decimal) -> str:
    if left * 2 > granted:
        return "green"
    return "yellow" if left * 5 > granted else "red"


def _status(seen: Seen) -> Text:
    sent, folded = seen.per_second()
    return Text(
        f"{seen.passed_s:5.1f} s   {seen.sent:,} events in at {sent:,.0f}/s   folded at {folded:,.0f}/s, {seen.lag:,} behind"
        f"   {seen.snapshots:,} snapshots   {seen.corrections:,} corrections   {seen.refusals:,} refused"
    )


def _percent(fraction: str) -> str:
    return "the whole" if fraction == "1" else f"{float(Fraction(fraction)):.1%}"


def _summary(seen: Seen) -> str:
    return (
        f"{seen.sent:,} events in {seen.passed_s:.0f} s; {seen.snapshots:,} snapshots left, {seen.corrections:,} of them"
        f" corrections, and {seen.refusals:,} refusals."
    )

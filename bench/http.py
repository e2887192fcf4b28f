"""What a question over HTTP costs while burns flow, and what questions cost the stream: `python -m bench.http`.

Three processes on one machine: a worker (two where a question is passed on), a producer that sends burns at a pace, and this
one, which asks. Each line of the table says how many burns were really folded meanwhile, and how much of a processor the worker
got: where it is far below what it could use, the machine had too much else to do. The broker is the embedded one, or that of
SEATSTREAM_BROKER. One customer has many seats, one has a page of them, and every seat was burned from 60 days ago on.
"""

import argparse
import asyncio
import math
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer

from ledger import instants
from ledger.instants import DAY
from streams import settings as environment
from wire.topics import ensure, partition_of

MANY, PAGE = "many-seats", "a-page-of-seats"
BURNERS = [f"burner-{n:03d}" for n in range(500)]
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seats", type=int, default=100_000, help="of the customer with many")
    parser.add_argument("--rate", type=int, default=10_000, help="burns a second meanwhile")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line of the table")
    parser.add_argument("--reads", type=int, default=500, help="questions a second while a backlog is folded")
    parser.add_argument("--backlog", type=int, default=200_000, help="burns of that backlog; 0 leaves it out")
    parser.add_argument("--produce", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.produce:
        asyncio.run(_produce(args.rate, args.backlog))
        return
    with ExitStack() as stage:
        server = os.environ.get("SEATSTREAM_BROKER") or _started_broker(stage)
        directory = Path(stage.enter_context(tempfile.TemporaryDirectory(prefix="seatstream-bench-")))
        asyncio.run(_bench(args, server, directory, stage))


def _started_broker(stage: ExitStack) -> str:
    from streams.broker import Broker  # noqa: PLC0415

    return f"kafka://{stage.enter_context(Broker()).bootstrap}"


class Worker:
    """A worker in a process of its own, at one address and with one disk, however often it starts."""

    def __init__(self, name: str, variables: dict[str, str], directory: Path, stage: ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._variables = variables | {"SEATSTREAM_WEB": f"127.0.0.1:{port}", "SEATSTREAM_DATA": str(directory / name)}
        self._process: subprocess.Popen[bytes] | None = None
        stage.callback(self.end)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "streams", "worker", "--log", "warning"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | self._variables)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(40)
            self._process = None

    def cpu_s(self) -> float:
        """What it has computed so far. None of it, where nobody can say."""
        try:
            held = (
                Path(f"/proc/{self._process.pid if self._process else 0}/stat").read_text().rpartition(")")[2].split()
            )
        except OSError:
            return 0.0
        return (int(held[11]) + int(held[12])) / os.sysconf("SC_CLK_TCK")


def _producing(rate: int, count: int | None = None) -> list[str]:
    command = [sys.executable, "-m", "bench.http", "--produce", "--rate", str(rate)]
    return [*command, "--backlog", str(10**12 if count is None else count)]


def _produced(command: list[str], variables: dict[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True)


@contextmanager
def _running(command: list[str], variables: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


@dataclass(frozen=True)
class Line:
    """One line of the table: what is asked, from where, how many at once, and what it should take at most."""

    what: str
    at_once: int
    address: Callable[[], str]
    should: str
    first_byte: bool = False


async def _bench(args: argparse.Namespace, server: str, directory: Path, stage: ExitStack) -> None:
    variables = {
        "SEATSTREAM_BROKER": server,
        "SEATSTREAM_PREFIX": f"bench-{os.urandom(3).hex()}-",
        "SEATSTREAM_PARTITIONS": "4",
        "SEATSTREAM_LATENESS": "P92D",
    }
    worker = Worker("a", variables, directory, stage)
    async with aiohttp.ClientSession() as session:
        await _ready(session, worker.url)
        await _tell(variables, args.seats)
        await _settled(session, worker.url)
        with ExitStack() as flowing:
            flowing.enter_context(_running(_producing(args.rate), variables))
            await asyncio.sleep(3)
            columns = (
                "should | at once | asked/s | p50 ms | p99 ms | burns/s folded | records that wait | the worker's CPU"
            )
            print(f"| while {args.rate:,} burns a second are sent | {columns} |")
            print("|---|---|---|---|---|---|---|---|---|")
            for line in _lines(args, worker.url):
                await _measure(args, session, line, worker)
            second = Worker("b", variables, directory, stage)
            await _ready(session, second.url)
            for url in (second.url, worker.url):
                await _known(session, url)
            other = worker if await _has(session, second.url, PAGE, variables) else second
            through = Line("balance of one seat through another worker", 1, _one_seat(other.url), "p99 < 20")
            await _measure(args, session, through, other)
            second.end()
            await _ready(session, worker.url)
            await _known(session, worker.url)
        if args.backlog:
            await _cost_of_reads(args, session, worker, variables)


def _one_seat(url: str, more: str = "") -> Callable[[], str]:
    chance = random.Random(7)
    return lambda: f"{url}/v1/customers/{PAGE}/balances?seat_id=seat-{chance.randrange(1_000):06d}{more}"


def _lines(args: argparse.Namespace, url: str) -> list[Line]:
    past = f"&at={instants.text(time.time_ns() // 1000 - 60 * DAY + 1)}"
    return [
        Line("balance of one seat from the owner", 1, _one_seat(url), "p50 < 2, p99 < 10"),
        Line("the same, several at once", 4, _one_seat(url), "1,500/s"),
        Line(
            f"100 seats of a customer with {args.seats:,}", 1, lambda: f"{url}/v1/customers/{MANY}/balances?limit=100",
            "p99 < 30",
        ),
        Line("balance of one seat, 60 days ago", 1, _one_seat(url, past), "p99 < 30"),
        Line("the customer page, 1,000 seats, first byte", 1, lambda: f"{url}/customers/{PAGE}", "p99 < 100", True),
    ]  # fmt: skip


async def _measure(args: argparse.Namespace, session: aiohttp.ClientSession, line: Line, worker: Worker) -> None:
    before, cpu, begun = await _counted(session, worker.url), worker.cpu_s(), time.monotonic()
    took: list[float] = []
    refused = await _ask(line, args.seconds, None, took)
    passed_s = time.monotonic() - begun
    after = await _counted(session, worker.url)
    folded = (after.folded - before.folded) / passed_s
    said = f"{line.what} ({refused} refused)" if refused else line.what
    middle, late = _quantile(took, 0.5), _quantile(took, 0.99)
    print(
        f"| {said} | {line.should} | {line.at_once} | {len(took) / passed_s:,.0f} | {middle:.1f} | {late:.1f} |"
        f" {folded:,.0f} | {after.lag:,.0f} | {(worker.cpu_s() - cpu) / passed_s:.0%} |",
        flush=True,
    )


def _quantile(took: list[float], share: float) -> float:
    """In ms."""
    return sorted(took)[int(len(took) * share)] * 1000 if took else math.nan


async def _ask(line: Line, seconds: float, rate: float | None, took: list[float]) -> int:
    """Notes how long each took that was answered, one after the other on each connection, or at a pace. How many were not."""
    refused = 0
    begun = time.monotonic()

    async def ask(number: int) -> None:
        nonlocal refused
        connection = Connection(line.address())
        asked = 0
        while time.monotonic() < begun + seconds:
            if rate is not None:
                due = begun + (asked * line.at_once + number) / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            asked += 1
            started = time.perf_counter()
            status = await connection.get(line.address(), first_byte=line.first_byte)
            if status == 200:
                took.append(connection.answered_at - started)
            else:
                refused += 1
        connection.close()

    await asyncio.gather(*(ask(number) for number in range(line.at_once)))
    return refused


class Connection:
    """As much of HTTP as is needed to ask: what takes little of the machine that the worker needs too."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.answered_at = 0.0

    async def get(self, address: str, first_byte: bool = False) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        reader, writer = self._streams
        path = address.partition("://")[2].partition("/")[2]
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if first_byte:
            self.answered_at = time.perf_counter()
        [length] = re.findall(rb"(?i)content-length: *([0-9]+)", head)
        await reader.readexactly(int(length))
        if not first_byte:
            self.answered_at = time.perf_counter()
        return int(head[9:12])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


# --- what reads cost the stream --------------------------------------------------------------------------------------


async def _cost_of_reads(
    args: argparse.Namespace, session: aiohttp.ClientSession, worker: Worker, variables: dict[str, str]
) -> None:
    """A backlog is folded alone, with so many questions a second, and alone once more, since machines tire."""
    rates = []
    print(f"\n| a backlog of {args.backlog:,} burns | burns/s folded | asked/s | p99 ms |\n|---|---|---|---|")
    for reads in (0, args.reads, 0):
        worker.end()
        await asyncio.to_thread(_produced, _producing(10**9, args.backlog), variables)
        worker.start()
        rate, took, passed_s = await _backlog_folded(session, worker, args.backlog, reads)
        rates.append(rate)
        said = f"{len(took) / passed_s:,.0f} | {_quantile(took, 0.99):.1f}" if reads else "- | -"
        print(f"| {f'with {reads} questions a second' if reads else 'alone'} | {rate:,.0f} | {said} |", flush=True)
    print(f"\nReads cost the stream {1 - rates[1] / ((rates[0] + rates[2]) / 2):.0%} of its throughput (at most 20 %).")


async def _backlog_folded(
    session: aiohttp.ClientSession, worker: Worker, count: int, reads: int
) -> tuple[float, list[float], float]:
    """Burns a second between the first tenth and the last, what questions took meanwhile, and for how long they were asked."""
    line = Line("", 4, _one_seat(worker.url), "")
    took: list[float] = []
    asking: asyncio.Task[Any] | None = None
    marks: list[tuple[float, float]] = []
    begun = time.monotonic()
    while not marks or marks[-1][1] < 0.9 * count:
        with suppress(aiohttp.ClientError):
            folded = (await _counted(session, worker.url)).folded
            if folded > 0.1 * count or marks:
                marks.append((time.monotonic(), folded))
            if folded and reads and asking is None:
                begun = time.monotonic()
                asking = asyncio.create_task(_ask(line, 3600.0, reads, took))
        await asyncio.sleep(0.05)
    if asking is not None:
        asking.cancel()
    (first, some), (last, most) = marks[0], marks[-1]
    return (most - some) / max(last - first, 1e-9), took, time.monotonic() - begun


class Counted(NamedTuple):
    """What a worker has folded and said since it started, and what waits."""

    folded: float
    lag: float
    said: float


async def _counted(session: aiohttp.ClientSession, url: str) -> Counted:
    async with session.get(f"{url}/metrics") as answer:
        page = await answer.text()
    folded = _sum(page, r'seatstream_facts_total\{outcome="folded",topic="credit-burn"\}')
    return Counted(folded, _sum(page, r"seatstream_lag_records\{.*\}"), _sum(page, r"seatstream_snapshots_total\{.*\}"))


def _sum(page: str, series: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{series} (\S+)$", page, re.MULTILINE))


async def _has(session: aiohttp.ClientSession, url: str, customer_id: str, variables: dict[str, str]) -> bool:
    """Whether this worker folds a customer."""
    partition = partition_of(customer_id.encode(), int(variables["SEATSTREAM_PARTITIONS"]))
    async with session.get(f"{url}/operator/here") as answer:
        now = orjson.loads(await answer.read())["partitions"][partition]
    # As msgspec writes a named tuple: partition, where, state.
    return bool(now[2] == "folding")


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            async with session.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit(f"the worker at {url} does not become ready")


async def _settled(session: aiohttp.ClientSession, url: str) -> None:
    """Everybody is folded, and whatever was to be said of so many seats at once is said."""
    await _known(session, url)
    last, quiet = Counted(-1, 0, 0), 0
    for _ in range(600):
        now = await _counted(session, url)
        quiet = quiet + 1 if now == last and not now.lag else 0
        if quiet == 3:
            return
        last = now
        await asyncio.sleep(1)
    raise SystemExit("what was said at the beginning is not folded after ten minutes")


async def _known(session: aiohttp.ClientSession, url: str) -> None:
    """Both customers are folded."""
    for customer_id in (MANY, PAGE):
        for _ in range(600):
            async with session.get(f"{url}/v1/customers/{customer_id}/balances?limit=1") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.2)
        else:
            raise SystemExit(f"{customer_id} is not folded")


# --- what is said ----------------------------------------------------------------------------------------------------


async def _tell(variables: dict[str, str], many: int) -> None:
    """Who there is, and what was burned 60 days ago."""
    settings = environment.read(variables)
    topics = await ensure(settings.topics, settings.kafka())
    now = time.time_ns() // 1000
    async with AIOKafkaProducer(
        **settings.kafka(), linger_ms=20, max_batch_size=1 << 18, max_request_size=2 << 20
    ) as to:

        async def send(kind: str, customer_id: str, at: int, fact: dict[str, Any]) -> None:
            common = {"customer_id": customer_id, "time": instants.text(at)}
            await to.send(topics.name(kind), orjson.dumps(common | fact), key=customer_id.encode())

        for customer_id, count in ((MANY, many), (PAGE, 1_000), *((each, 10) for each in BURNERS)):
            names = [f"seat-{n:06d}" for n in range(count)]
            contract = {
                "id": "c", "type": "contract.created", "contract_id": "c", "starting_at": instants.text(now - 80 * DAY),
                "subscriptions": [{"subscription_id": "team", "mode": "seats", "seat_ids": names[:5_000]}],
                "recurring_credits": [
                    {
                        "recurring_credit_id": "monthly", "subscription_id": "team", "allocation": "individual",
                        "amount": "50", "every": "P1M",
                    }
                ],
                "grants": [{"grant_id": "pool", "amount": "100000000"}],
            }  # fmt: skip
            await send("contract-change", customer_id, now - 80 * DAY, contract)
            for start in range(5_000, count, 5_000):
                operation = {"op": "add_seats", "seat_ids": names[start : start + 5_000]}
                edit = {"id": f"e{start}", "contract_id": "c", "subscription_id": "team", "operations": [operation]}
                await send("seat-change", customer_id, now - 79 * DAY, edit)
        for days in (61, 30, 1):
            for n in range(1_000):
                burn = {"id": f"old-{days}-{n}", "contract_id": "c", "seat_id": f"seat-{n:06d}", "amount": "1"}
                await send("credit-burn", PAGE, now - days * DAY, burn)
        for customer_id in BURNERS:
            for n in range(10):
                # Each seat's first burn makes its slices, and is said at once: that is not what is measured.
                burn = {"id": f"first-{n}", "contract_id": "c", "seat_id": f"seat-{n:06d}", "amount": "0.25"}
                await send("credit-burn", customer_id, now, burn)


async def _produce(rate: int, most: int) -> None:
    """Burns of many customers at a pace, so many or until ended."""
    settings = environment.read()
    topics = await ensure(settings.topics, settings.kafka())
    chance = random.Random(11)
    name = topics.name("credit-burn")
    async with AIOKafkaProducer(**settings.kafka(), linger_ms=20, max_batch_size=1 << 18) as to:
        begun, sent, run = time.monotonic(), 0, os.urandom(3).hex()
        while sent < most:
            while sent < min(most, (time.monotonic() - begun) * rate):
                customer_id = chance.choice(BURNERS)
                burn = {
                    "id": f"run-{run}-{sent}", "customer_id": customer_id, "seat_id": f"seat-{chance.randrange(10):06d}",
                    "amount": "0.25", "time": instants.text(time.time_ns() // 1000),
                }  # fmt: skip
                await to.send(name, orjson.dumps(burn), key=customer_id.encode())
                sent += 1
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()

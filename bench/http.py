"""What a question over HTTP costs while burns flow: `python -m bench.http`.

Three processes on one machine: a worker (two where a question is passed on), a producer that sends burns at a pace, and this
one, which asks. The broker is the embedded one, or that of SEATSTREAM_BROKER. One customer has many seats, one has a page
of them, and every seat was burned from 60 days ago on.
"""

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer

from ledger import instants
from ledger.instants import DAY
from streams import settings as environment
from wire.topics import ensure

MANY, PAGE = "many-seats", "a-page-of-seats"
BURNERS = [f"burner-{n:03d}" for n in range(500)]
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seats", type=int, default=100_000, help="of the customer with many")
    parser.add_argument("--rate", type=int, default=10_000, help="burns a second meanwhile")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line of the table")
    parser.add_argument("--produce", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.produce:
        asyncio.run(_produce(args.rate))
        return
    with ExitStack() as stage:
        server = os.environ.get("SEATSTREAM_BROKER") or _started_broker(stage)
        directory = Path(stage.enter_context(tempfile.TemporaryDirectory(prefix="seatstream-bench-")))
        asyncio.run(_bench(args, server, directory, stage))


def _started_broker(stage: ExitStack) -> str:
    from streams.broker import Broker  # noqa: PLC0415

    return f"kafka://{stage.enter_context(Broker()).bootstrap}"


class Worker:
    """A worker in a process of its own."""

    def __init__(self, name: str, variables: dict[str, str], directory: Path, stage: ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        more = {"SEATSTREAM_WEB": f"127.0.0.1:{port}", "SEATSTREAM_DATA": str(directory / name)}
        command = [sys.executable, "-m", "streams", "worker", "--log", "warning"]
        stage.enter_context(_running(command, variables | more))


@contextmanager
def _running(command: list[str], variables: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


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
        await _known(session, worker.url)
        produce = [sys.executable, "-m", "bench.http", "--produce", "--rate", str(args.rate)]
        stage.enter_context(_running(produce, variables))
        await asyncio.sleep(3)
        chance = random.Random(7)
        past = instants.text(time.time_ns() // 1000 - 60 * DAY + 1)

        def seat() -> str:
            return f"seat-{chance.randrange(1_000):06d}"

        url = worker.url
        print(
            f"| while {args.rate:,} burns a second flow | at once | asked/s | p50 ms | p99 ms |\n|---|---|---|---|---|"
        )
        await _line(
            args, session, "balance of one seat", 8, lambda: f"{url}/v1/customers/{PAGE}/balances?seat_id={seat()}"
        )
        await _line(
            args, session, f"100 seats of a customer with {args.seats:,}", 1,
            lambda: f"{url}/v1/customers/{MANY}/balances?limit=100",
        )  # fmt: skip
        await _line(
            args, session, "balance of one seat, 60 days ago", 1,
            lambda: f"{url}/v1/customers/{PAGE}/balances?seat_id={seat()}&at={past}",
        )  # fmt: skip
        await _line(args, session, "the customer page, 1,000 seats", 1, lambda: f"{url}/customers/{PAGE}")
        second = Worker("b", variables, directory, stage)
        await _ready(session, second.url)
        await _known(session, second.url)
        await _known(session, url)
        await _line(
            args, session, "balance of one seat, from either of two workers", 8,
            lambda: f"{chance.choice((url, second.url))}/v1/customers/{PAGE}/balances?seat_id={seat()}",
        )  # fmt: skip


async def _line(
    args: argparse.Namespace, session: aiohttp.ClientSession, what: str, at_once: int, address: Callable[[], str]
) -> None:
    took: list[float] = []
    refused = 0
    end = time.monotonic() + args.seconds

    async def ask() -> None:
        nonlocal refused
        while time.monotonic() < end:
            begun = time.perf_counter()
            async with session.get(address()) as answer:
                await answer.read()
                if answer.status == 200:
                    took.append(time.perf_counter() - begun)
                else:
                    refused += 1

    await asyncio.gather(*(ask() for _ in range(at_once)))
    took.sort()
    middle, late = took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000
    said = f" ({refused} refused)" if refused else ""
    print(f"| {what}{said} | {at_once} | {len(took) / args.seconds:,.0f} | {middle:.1f} | {late:.1f} |", flush=True)


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


async def _produce(rate: int) -> None:
    """Burns of many customers at a pace, until ended."""
    settings = environment.read()
    topics = await ensure(settings.topics, settings.kafka())
    chance = random.Random(11)
    name = topics.name("credit-burn")
    async with AIOKafkaProducer(**settings.kafka(), linger_ms=20, max_batch_size=1 << 18) as to:
        begun, sent = time.monotonic(), 0
        while True:
            while sent < (time.monotonic() - begun) * rate:
                customer_id = chance.choice(BURNERS)
                burn = {
                    "id": f"run-{sent}", "customer_id": customer_id, "seat_id": f"seat-{chance.randrange(10):06d}",
                    "amount": "0.25", "time": instants.text(time.time_ns() // 1000),
                }  # fmt: skip
                await to.send(name, orjson.dumps(burn), key=customer_id.encode())
                sent += 1
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()

"""How fast the stream is: what the tables of its issues ask for, each row with a real Kafka, one command.

    python -m bench.stream [--only ledger,engine,...] [--times 3] [--scale 1] [--compiled] [--broker host:port]

A row starts workers of its own (bench/measured.py), publishes while their gate is shut, and opens it: from then until the
last burn is committed is what counts, so many times, and the median is told. What is compared with another row has
that one beside it, in turns with it. All times are of the clock on the wall: a busy neighbour does count.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console
from rich.table import Table

from bench.load import Load, Sender
from streams.settings import Settings, read
from wire.topics import Topics, ensure

ROOT = Path(__file__).parents[1]
BURNS: Final = 100_000
#: One event at a time is slower.
PLAIN_BURNS: Final = 4_000
PLAIN_EVENTS: Final = 20_000
#: Somebody who does not answer for so long never will.
PATIENCE_S: Final = 900.0


class Line(NamedTuple):
    """One line of the table."""

    what: str
    found: str
    asked: str = ""
    holds: bool | None = None


class Broken(Exception):
    """A worker ended, or a partition of it stands still."""


@dataclass(frozen=True)
class Bench:
    """How much is measured, and where. `scale`: more or fewer burns in each round."""

    broker: str
    directory: Path
    times: int = 3
    scale: float = 1.0
    #: Where a wheel with the compiled ledger is unpacked.
    compiled: Path | None = None
    progress: Console = dataclasses.field(default_factory=lambda: Console(stderr=True))

    def burns(self, count: int) -> int:
        return max(1, int(count * self.scale))

    def say(self, what: str) -> None:
        self.progress.print(f"{time.strftime('%H:%M:%S')} {what}", highlight=False)


# --- workers, and what they are told -----------------------------------------------------------------------------------


class Worker:
    """A process that is measured."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)
        except TimeoutError:
            raise Broken(f"the worker said nothing for {PATIENCE_S:.0f} s") from None
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the worker ended"}
        if "failed" in answer:
            raise Broken(answer["failed"])
        return answer

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@dataclass
class Round:
    """What one opening of the gate showed: `seconds` until all was committed, `said` until all of it was said too."""

    burns: int
    seconds: float
    said: float
    answers: list[dict[str, Any]]

    @property
    def rate(self) -> float:
        return self.burns / self.seconds

    @property
    def cpu_us(self) -> float:
        return sum(float(answer["cpu_s"]) for answer in self.answers) / self.burns * 1e6

    @property
    def rss_mb(self) -> float:
        return max(float(answer["rss_mb"]) for answer in self.answers)

    @property
    def written(self) -> Counter[str]:
        return sum((Counter(answer.get("written", {})) for answer in self.answers), Counter())

    def commits(self) -> str:
        """How many transactions, and how long they took."""
        found = sorted(ms for answer in self.answers for ms in answer.get("commits_ms", ()))
        return (
            f"{len(found)} commits, p50 {found[len(found) // 2]:.0f}, p99 {percentile(found, 99):.0f} ms"
            if found
            else ""
        )


class Side:
    """Topics, workers and disks of one thing that is measured."""

    def __init__(self, bench: Bench, program: str, load: Load, settings: Settings, topics: Topics) -> None:
        self.bench = bench
        self.program = program
        self.load = load
        self.settings = settings
        self.topics = topics
        self.sender = Sender(topics, settings.kafka())
        self.workers: list[Worker] = []

    async def start(self, count: int = 1, **variables: str) -> None:
        """Workers that have all partitions among them, each some."""
        for number in range(count):
            self.workers.append(Worker(await self._process(number, variables)))
        for _ in range(600):
            stands = await self.stand()
            have = [stand["partitions"] for stand in stands]
            if min(have) > 0 and sum(have) == self.topics.partitions:
                return
            await asyncio.sleep(0.1)
        raise Broken(f"the workers have {have} partitions of {self.topics.partitions}")

    async def _process(self, number: int, variables: dict[str, str]) -> asyncio.subprocess.Process:
        place = self.bench.compiled or ROOT
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.measured", self.program,
            cwd=place,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                **_environment(self.bench, self.settings.prefix, self.topics.partitions),
                "SEATSTREAM_DATA": str(self.disk(number)),
                **variables,
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )  # fmt: skip

    def disk(self, number: int = 0) -> Path:
        return self.settings.data / str(number)

    async def stand(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(worker.order(do="stand") for worker in self.workers)))

    async def open(self) -> None:
        """What comes before the burns."""
        for portion in self.load.opening():
            await self.sender.send(portion)
            await self._fold()

    async def round(self, burns: int) -> Round:
        await self.sender.send(self.load.burns(burns))
        begun = time.time()
        answers = await self._fold()
        ended = max(answer["ended"] for answer in answers)
        found = Round(burns, ended - begun, max(answer["said"] for answer in answers) - begun, answers)
        self.bench.say(f"  {self.program}: {found.rate:,.0f}/s, {found.cpu_us:.1f} us of CPU each")
        return found

    async def _fold(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(worker.order(fold=self.sender.ends) for worker in self.workers)))

    async def end(self) -> None:
        for worker in self.workers:
            await worker.end()
        self.workers = []


def _environment(bench: Bench, prefix: str, partitions: int) -> dict[str, str]:
    return {
        "SEATSTREAM_BROKER": bench.broker,
        "SEATSTREAM_PREFIX": prefix,
        "SEATSTREAM_PARTITIONS": str(partitions),
        "SEATSTREAM_DATA": str(bench.directory / prefix),
    }


@contextlib.asynccontextmanager
async def side(
    bench: Bench,
    program: str,
    load: Load,
    *,
    partitions: int = 8,
    workers: int = 1,
    opens: bool = True,
    **variables: str,
) -> AsyncIterator[Side]:
    """Topics of its own with workers that have folded what comes before the burns."""
    settings = read(_environment(bench, f"bench-{program}-{os.urandom(3).hex()}-", partitions))
    topics = await ensure(settings.topics, settings.kafka())
    one = Side(bench, program, load, settings, topics)
    try:
        await one.start(workers, **variables)
        if opens:
            await one.open()
        yield one
    finally:
        await one.end()
        await one.sender.end()
        shutil.rmtree(settings.data, ignore_errors=True)
        await _forget(settings, topics)


async def _forget(settings: Settings, topics: Topics) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in topics.all()])
    finally:
        await admin.close()


# --- the rows --------------------------------------------------------------------------------------------------------


async def _rounds(one: Side, burns: int, what: str) -> list[Round]:
    found = []
    for number in range(one.bench.times):
        one.bench.say(f"{what}: round {number + 1} of {one.bench.times}, {burns:,} burns")
        found.append(await one.round(burns))
    return found


def _told(what: str, rounds: Sequence[Round], asked: float | None = None) -> Iterator[Line]:
    rate = median(one.rate for one in rounds)
    spread = f"{min(one.rate for one in rounds):,.0f} to {max(one.rate for one in rounds):,.0f}"
    yield Line(what, f"{rate:,.0f}/s ({spread})", f"{asked:,.0f}/s" if asked else "", rate >= asked if asked else None)
    cpu, most = median(one.cpu_us for one in rounds), max(one.rss_mb for one in rounds)
    yield Line("  CPU, memory", f"{cpu:.1f} us a burn ({1e6 / cpu:,.0f}/s of a whole core), {most:,.0f} MB")
    yield Line("  transactions of the last round", rounds[-1].commits())


async def ledger(bench: Bench) -> AsyncIterator[Line]:
    async with side(bench, "ledger", Load()) as one:
        asked = 25_000 if bench.compiled is None else 50_000
        for line in _told(
            "full ledger, 500 customers x 20 seats", await _rounds(one, bench.burns(BURNS), "ledger"), asked
        ):
            yield line


async def engine(bench: Bench) -> AsyncIterator[Line]:
    async with side(bench, "engine", Load(), partitions=4, opens=False) as one:
        rounds = await _rounds(one, bench.burns(3_000_000), "engine alone")
        for line in _told("engine alone, 10,000 sums", rounds, 250_000):
            yield line


async def _against(
    bench: Bench,
    what: str,
    name: str,
    loads: tuple[Load, Load],
    *,
    asked: float,
    burns: int = BURNS,
    workers: tuple[int, int] = (1, 1),
) -> AsyncIterator[Line]:
    """A row that is so much of another one, which is measured in turns with it."""
    count = bench.burns(burns)
    base_load, load = loads
    bench.say(f"{name}: getting ready")
    async with (
        side(bench, "ledger", base_load, workers=workers[0]) as base,
        side(bench, "ledger", load, workers=workers[1]) as one,
    ):
        pairs = []
        for number in range(bench.times):
            bench.say(f"{name}: round {number + 1} of {bench.times}, twice {count:,} burns")
            pairs.append((await base.round(count), await one.round(count)))
    ratio = median(other.rate / first.rate for first, other in pairs)
    yield Line(what, f"{ratio:.2f} of it", f"{asked:.2f}", ratio >= asked)
    for label, rounds in (("full ledger beside it", [a for a, _ in pairs]), ("this one", [b for _, b in pairs])):
        rate, cpu = median(one.rate for one in rounds), median(one.cpu_us for one in rounds)
        said = median(one.said - one.seconds for one in rounds)
        later = f"; all said {said:.1f} s later" if said > 0.1 else ""
        yield Line(f"  {label}", f"{rate:,.0f}/s, {cpu:.1f} us a burn, {max(r.rss_mb for r in rounds):,.0f} MB{later}")


async def jittered(bench: Bench) -> AsyncIterator[Line]:
    what = "burns up to 60 s late, half of the pools dry"
    async for line in _against(bench, what, "jittered", (Load(), Load(dry=True, jitter_s=60)), asked=0.7):
        yield line


async def million(bench: Bench) -> AsyncIterator[Line]:
    seats = max(1, int(2_000 * bench.scale))
    what = f"{500 * seats:,} seats, each burning once"
    loads = Load(), Load(seats=seats, once=True)
    count = 500 * seats // bench.times
    async for line in _against(
        dataclasses.replace(bench, scale=1.0), what, "million", loads, asked=0.6, burns=min(count, BURNS * 3)
    ):
        yield line


async def rules(bench: Bench) -> AsyncIterator[Line]:
    what = "3 levels on each of 2,000 seats, 2 on each pool, an alert in 1,000 burns"
    loads = Load(customers=100, crossing=1_000), Load(customers=100, crossing=1_000, rules=True)
    async for line in _against(bench, what, "rules", loads, asked=0.8):
        yield line


async def two(bench: Bench) -> AsyncIterator[Line]:
    async for line in _against(bench, "two workers against one", "two", (Load(), Load()), asked=1.0, workers=(1, 2)):
        yield line


async def plain(bench: Bench) -> AsyncIterator[Line]:
    """What is asked is twelve times a plain agent; it is told as how many times as much the stream folds."""
    for name, opens, count, plain_count, asked in (
        ("ledger", True, BURNS, PLAIN_BURNS, 12.0),
        ("engine", False, BURNS * 5, PLAIN_EVENTS, None),
    ):
        bench.say(f"plain: {name}, getting ready")
        # Few customers: one event at a time, their contracts alone take a while.
        few = min(50, bench.burns(50))
        async with (
            side(bench, name, Load(customers=few), opens=opens) as one,
            side(bench, f"plain-{name}", Load(customers=few), opens=opens) as other,
        ):
            pairs = []
            for number in range(bench.times):
                bench.say(f"plain: {name}, round {number + 1} of {bench.times}")
                pairs.append((await one.round(bench.burns(count)), await other.round(bench.burns(plain_count))))
        times = median(one.rate / other.rate for one, other in pairs)
        rates = [median(each.rate for each in rounds) for rounds in zip(*pairs, strict=True)]
        what = "same ledger" if name == "ledger" else "same sums"
        holds = None if asked is None else times >= asked
        yield Line(
            f"against a plain Faust agent, {what}", f"{times:.1f} times", f"{asked:.0f} times" if asked else "", holds
        )
        yield Line("  the stream; the plain agent", f"{rates[0]:,.0f}/s; {rates[1]:,.0f}/s")


async def recovery(bench: Bench) -> AsyncIterator[Line]:
    bench.say("recovery: burns first")
    async with side(bench, "ledger", Load(), SEATSTREAM_SESSION="PT6S") as one:
        await one.round(bench.burns(BURNS * 5))
        rates = []
        for number in range(bench.times):
            bench.say(f"recovery: disk wiped, {number + 1} of {bench.times}")
            await one.end()
            shutil.rmtree(one.disk())
            # The one that was ended did not say so, and is missed for a while.
            await one.start(SEATSTREAM_SESSION="PT6S")
            [stand] = await one.stand()
            rates.append(stand["restored"] / stand["restore_s"])
            bench.say(f"  {rates[-1]:,.0f} rows/s")
        rate = median(rates)
        what = f"recovery of {stand['restored']:,} rows, wiped disk"
        yield Line(what, f"{rate:,.0f} rows/s ({stand['restore_s']:.1f} s)", "250,000 rows/s", rate >= 250_000)


async def memory(bench: Bench) -> AsyncIterator[Line]:
    """Ten rounds, of as many burns as one row of the table has; so that what grows is seen to."""
    rounds = 10
    count = bench.burns(BURNS)
    async with side(bench, "ledger", Load(seats=200)) as one:
        series = []
        for number in range(rounds):
            bench.say(f"memory: round {number + 1} of {rounds}, {count:,} burns")
            series.append((await one.round(count)).rss_mb)
    grown = series[-1] - series[len(series) // 2]
    what = f"resident memory over {rounds * count:,} burns, 100,000 seats"
    yield Line(what, f"{max(series):,.0f} MB at most", "600 MB", max(series) < 600)
    yield Line(
        "  after each tenth of them", " ".join(f"{mb:,.0f}" for mb in series) + f" MB ({grown:+,.0f} in the last half)"
    )


async def written(bench: Bench) -> AsyncIterator[Line]:
    """What bounds a cluster: what each burn writes, far behind and close by."""
    async with side(bench, "ledger", Load(), BENCH_COUNTS="1") as one:
        for what, count, times in (("far behind", BURNS, bench.times), ("in batches of 250", 2_000, bench.times)):
            bench.say(f"written: {what}")
            rounds = [
                await one.round(max(1, int(count * (bench.scale if count == BURNS else 1)))) for _ in range(times)
            ]
            burns = sum(each.burns for each in rounds)
            total = sum((each.written for each in rounds), Counter[str]())
            commits = sum(len(answer["commits_ms"]) for each in rounds for answer in each.answers)
            yield Line(f"a burn writes, {what}", f"{commits} transactions for {burns:,} burns")
            for kind in ("state", "trail"):
                rows, size = total[f"{kind} rows"] / burns, total[f"{kind} bytes"] / burns
                yield Line(f"  {kind}", f"{rows:.2f} rows, {size:.0f} bytes")
            for kind in ("history-snapshot", "threshold-alert", "dead-letter"):
                if total[f"{kind} messages"]:
                    messages, size = total[f"{kind} messages"] / burns, total[f"{kind} bytes"] / burns
                    yield Line(f"  {kind}", f"{messages:.3f} messages, {size:.0f} bytes")


async def latency(bench: Bench) -> AsyncIterator[Line]:
    """Probes among burns at half of what the worker can fold, by the command that anybody may use on a cluster."""
    async with side(bench, "ledger", Load(customers=100, crossing=1_000, rules=True)) as one:
        rate = (await one.round(bench.burns(BURNS))).rate / 2
        await asyncio.gather(*(worker.order(do="open") for worker in one.workers))
        burning = asyncio.create_task(_burn_steadily(one, rate))
        found: dict[str, list[list[float]]] = {}
        try:
            for number in range(bench.times):
                bench.say(f"latency: {number + 1} of {bench.times}, beside {rate:,.0f} burns/s")
                for what, seconds in (await _probe(bench, one)).items():
                    found.setdefault(what, []).append(seconds)
        finally:
            burning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await burning
        for what, runs in found.items():
            of = {p: median(percentile(sorted(run), p) * 1000 for run in runs) for p in (50, 90, 99, 100)}
            told = f"p50 {of[50]:.0f}, p90 {of[90]:.0f}, p99 {of[99]:.0f}, max {of[100]:.0f} ms"
            yield Line(
                f"produced -> {what} readable, beside {rate:,.0f} burns/s", told, "p50 < 100, p99 < 250 ms",
                of[50] < 100 and of[99] < 250,
            )  # fmt: skip


async def _burn_steadily(one: Side, rate: float) -> None:
    begun, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun) * rate) - sent
        await one.sender.send(one.load.burns(due))
        sent += due
        await asyncio.sleep(0.02)


async def _probe(bench: Bench, one: Side) -> dict[str, list[float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.latency", "--json", "--probes", str(max(6, bench.burns(600))),
        env={**os.environ, "PYTHONPATH": str(ROOT), **_environment(bench, one.settings.prefix, one.topics.partitions)},
        stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    told, _ = await process.communicate()
    if process.returncode:
        raise Broken("the probe failed")
    found: dict[str, list[float]] = json.loads(told)
    return found


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of values in order, the one that so many percent do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


ROWS: dict[str, Callable[[Bench], AsyncIterator[Line]]] = {
    row.__name__: row
    for row in (ledger, plain, jittered, million, engine, latency, recovery, two, memory, rules, written)
}


# --- the table -------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(ROWS), help=f"some of {', '.join(ROWS)}"
    )
    parser.add_argument("--times", type=int, default=3, help="rounds of each row; the median is told")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many burns, and seats where they are many")
    parser.add_argument("--compiled", action="store_true", help="with the ledger compiled; builds the wheel first")
    parser.add_argument("--broker", help="host:port of a Kafka; without it, one is started")
    args = parser.parse_args()
    unknown = sorted(set(args.only) - set(ROWS))
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    with _broker(args.broker) as broker, tempfile.TemporaryDirectory() as directory:
        compiled = _built(Path(directory) / "wheel") if args.compiled else None
        bench = Bench(broker, Path(directory), args.times, args.scale, compiled)
        lines = asyncio.run(measure(bench, args.only))
    console = Console()
    if not console.is_terminal:
        console.width = 150
    console.print(_table(lines, "compiled" if args.compiled else "pure Python"))
    return 1 if any(line.holds is False for line in lines) else 0


async def measure(bench: Bench, names: Sequence[str]) -> list[Line]:
    """The lines of these rows. One that breaks says so, and the others follow."""
    lines: list[Line] = []
    for name in names:
        try:
            lines += [line async for line in ROWS[name](bench)]
        except Broken as broken:
            lines.append(Line(name, f"broken: {broken}", "", False))
    return lines


def _built(place: Path) -> Path:
    from bench.compiled import build  # noqa: PLC0415

    place.mkdir()
    build(place)
    return place


def _table(lines: Sequence[Line], form: str) -> Table:
    load = f", load of the machine {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    table = Table("what", "measured", "asked", "", title=f"The stream, ledger {form}, {os.cpu_count()} cores{load}")
    for line in lines:
        mark = "" if line.holds is None else "[green]yes[/]" if line.holds else "[red]no[/]"
        table.add_row(line.what, line.found, line.asked, mark)
    return table


@contextlib.contextmanager
def _broker(named: str | None) -> Iterator[str]:
    if named:
        yield named
        return
    from streams.broker import Broker  # noqa: PLC0415

    with Broker() as running:
        yield running.bootstrap


if __name__ == "__main__":
    sys.exit(main())

"""What may happen to workers, disks and brokers, each drawn from a seed; and what is owed after it.

Each kind lets it happen, says what it did, and puts things right again as whoever runs workers would: what died is started
anew at once, a full disk gets room, a broker comes back.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.broker import Broker
from tests.faults import points
from tests.faults.scene import Ends, FaultScene, is_stopped
from tests.kafka.scene import Worker

#: Within which every partition must move again: after a kill and after a stop in order. Where something is paused or gone for
#: longer, only that it moves again at all.
KILLED_S, STOPPED_S, EVER_S = 20.0, 5.0, 240.0
#: Longer than a session.
PAST_SESSION_S: Final = 8.0


class Stood(NamedTuple):
    """How long it took after a fault until every partition moved, and how long it may take."""

    took_s: float
    within_s: float


@dataclass
class Stage:
    """What a fault may touch."""

    scene: FaultScene
    kafka: Broker
    nodes: int
    chance: random.Random
    #: Those who are always there, by the names of their disks, and disks of guests.
    workers: dict[str, Worker] = field(default_factory=dict)
    guests: list[str] = field(default_factory=list)
    #: Disks that can be filled.
    small: list[str] = field(default_factory=list)
    #: How long partitions stand still after the fault that came last.
    standing: asyncio.Task[Stood] | None = None

    def start(self, name: str) -> Worker:
        self.workers[name] = self.scene.worker(name)
        return self.workers[name]

    def keep_up(self) -> None:
        """Who was starting while there was no Kafka has said so and ended; it is started again."""
        for name, worker in self.workers.items():
            if worker.process.poll() is not None:
                said = worker.log.read_text(errors="replace")
                assert "Kafka does not answer" in said, f"{name} ended by itself:\n{said[-3000:]}"
                self.start(name)

    def any(self) -> str:
        return self.chance.choice(sorted(self.workers))

    async def hit(self, within_s: float) -> None:
        """Now it happens: from here on it counts how long partitions stand still."""
        ends = await self.scene.ends()
        if self.standing is not None:
            self.standing.cancel()
        self.standing = asyncio.create_task(self._stand(ends, time.monotonic(), within_s))

    async def _stand(self, ends: Ends, since: float, within_s: float) -> Stood:
        await self.scene.moving(ends, EVER_S)
        return Stood(time.monotonic() - since, within_s)

    def arm(self, name: str, what: str) -> None:
        points.file_of(self.scene.directory / name).write_text(what)

    def disarm(self, name: str) -> bool:
        """Whether it was armed still."""
        file = points.file_of(self.scene.directory / name)
        armed = file.exists()
        file.unlink(missing_ok=True)
        return armed

    async def until(self, over: Callable[[], bool], patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not over():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def guest(self) -> tuple[str, Worker]:
        """One more worker, for a while."""
        name = f"guest{len(self.guests)}"
        self.guests.append(name)
        return name, self.scene.worker(name)

    async def folds(self, worker: Worker) -> None:
        await worker.says("folding partitions [", patience_s=EVER_S)


async def kill(stage: Stage, _: str) -> str:
    """A worker is gone as by a power cut, and started again at once or a little later."""
    name, later_s = stage.any(), stage.chance.choice((0.0, 0.0, 2.0))
    await stage.hit(KILLED_S)
    stage.workers[name].kill()
    await asyncio.sleep(later_s)
    stage.start(name)
    return f"{name}, started again after {later_s:.0f} s"


async def die(stage: Stage, point: str) -> str:
    """A worker dies between two steps of a commit."""
    name, point = stage.any(), point or stage.chance.choice(points.COMMIT)
    worker = stage.workers[name]
    stage.arm(name, f"die {stage.chance.randrange(1, 12)} {point}")
    died = await stage.until(lambda: worker.process.poll() is not None, 60)
    await stage.hit(KILLED_S)
    stage.disarm(name)
    if not died:
        worker.kill()
    stage.start(name)
    return f"{name} at {point!r}" if died else f"{name}, which never came to {point!r}"


async def die_again(stage: Stage, point: str) -> str:
    """A worker is killed, and dies again while it takes its partitions over."""
    name, point = stage.any(), point or stage.chance.choice(points.TAKEOVER)
    stage.workers[name].kill()
    stage.arm(name, f"die 1 {point}")
    worker = stage.start(name)
    died = await stage.until(lambda: worker.process.poll() is not None, 120)
    await stage.hit(KILLED_S)
    stage.disarm(name)
    if died:
        stage.start(name)
    return f"{name} at {point!r}" if died else f"{name}, which never came to {point!r}"


async def pause(stage: Stage, point: str) -> str:
    """A worker stands still for longer than its session, anywhere or between two steps, and goes on."""
    name = stage.any()
    worker = stage.workers[name]
    if not point and stage.chance.random() < 0.5:
        worker.pause()
        where = "anywhere"
    else:
        where = point or stage.chance.choice(points.COMMIT[:-1])
        stage.arm(name, f"stop {stage.chance.randrange(1, 12)} {where}")
        if not await stage.until(lambda: is_stopped(worker), 60):
            stage.disarm(name)
            worker.pause()
    away_s = PAST_SESSION_S + stage.chance.random() * 3
    await asyncio.sleep(away_s)
    await stage.hit(EVER_S)
    worker.go_on()
    return f"{name} at {where!r} for {away_s:.0f} s"


async def heir(stage: Stage, point: str) -> str:
    """A worker goes on in the middle of a transaction just when its heir has read the changelogs."""
    name = stage.any()
    point = point or stage.chance.choice(("begun", "some rows sent", "rows sent"))
    worker = stage.workers[name]
    guest, other = await stage.guest()
    # Everyone else lingers: whoever takes over is caught.
    await stage.folds(other)
    for one in {guest, *stage.workers} - {name}:
        stage.arm(one, "linger 1 rows restored")
    stage.arm(name, f"stop 1 {point}")
    stopped = await stage.until(lambda: is_stopped(worker), 60)
    if not stopped:
        worker.pause()
    file = points.file_of(stage.scene.directory / guest)
    met = await stage.until(lambda: not file.exists(), 60)
    # When the heir begins to fold, and before it hears that the other is back.
    await asyncio.sleep(points.LINGER_S - 0.3)
    await stage.hit(EVER_S)
    worker.go_on()
    for one in {guest, *stage.workers}:
        stage.disarm(one)
    await asyncio.sleep(points.LINGER_S + 2)
    assert await other.stop(60) in (0, 1)
    return f"{name} at {point!r}{'' if met else ', whom nobody succeeded'}"


async def wipe(stage: Stage, _: str) -> str:
    """A worker is killed, and its disk is empty when it comes back."""
    name = stage.any()
    await stage.hit(KILLED_S)
    stage.workers[name].kill()
    stage.scene.wipe(name)
    stage.start(name)
    return name


async def torn(stage: Stage, when: str) -> str:
    """A file of a disk is cut or turned over, under a worker that runs or before it comes back."""
    name, how = stage.any(), stage.chance.choice(("cut", "turned over"))
    running = when != "away" and stage.chance.random() < 0.3
    files = [path for store in stage.scene.stores(name) for path in store.glob("*") if _size(path) > 100]
    files = [path for path in files if path.suffix in (".sst", ".log")]
    tables = [path for path in files if path.suffix == ".sst"] or files
    if not running:
        await stage.hit(KILLED_S)
        stage.workers[name].kill()
    told = "nothing"
    if tables:
        path = stage.chance.choice(sorted(tables))
        told = f"{path.parent.name}/{path.suffix[1:]}"
        with suppress(OSError):
            _tear(path, how)
    if running:
        await stage.hit(EVER_S)
    else:
        stage.start(name)
    return f"{told} of {name} {how}{', while it runs' if running else ''}"


def _size(path: Path) -> int:
    # Whoever runs may take it away meanwhile.
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _tear(path: Path, how: str) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        if how == "cut":
            file.truncate(size // 2)
            return
        for start in range(0, size, 512):
            file.seek(start)
            some = file.read(16)
            file.seek(start)
            file.write(bytes(byte ^ 0xFF for byte in some))


async def full(stage: Stage, _: str) -> str:
    """A disk takes nothing for a while."""
    if not stage.small:
        raise NotHere("nothing may be mounted here, so no disk can be filled")
    name = stage.chance.choice(stage.small)
    filler, for_s = stage.scene.directory / name / "filler", 3 + stage.chance.random() * 5
    try:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"\0" * (1 << 16)):
                pass
        log = stage.workers[name].log
        said = log.read_text(errors="replace").count("stands still until")
        stood = await stage.until(lambda: log.read_text(errors="replace").count("stands still until") > said, 10)
        await asyncio.sleep(for_s)
    finally:
        await stage.hit(EVER_S)
        filler.unlink(missing_ok=True)
    return f"that of {name} for {for_s:.0f} s{'' if stood else ', and nobody wrote'}"


async def broker(stage: Stage, _: str) -> str:
    """A broker is killed and comes back; of several, it is one."""
    node, away_s = stage.chance.randrange(1, stage.nodes + 1), 1 + stage.chance.random() * 7
    if stage.nodes > 1:
        await stage.hit(EVER_S)
    await asyncio.to_thread(stage.kafka.kill, node)
    await asyncio.sleep(away_s)
    await asyncio.to_thread(stage.kafka.restart, node)
    if stage.nodes == 1:
        await _answers(stage, EVER_S)
    return f"{node} of {stage.nodes} for {away_s:.0f} s"


async def everyone(stage: Stage, _: str) -> str:
    """Every worker is killed at once, and a broker with them."""
    with_broker = stage.chance.random() < 0.5
    if not with_broker:
        await stage.hit(KILLED_S)
    for worker in stage.workers.values():
        worker.kill()
    if with_broker:
        await asyncio.to_thread(stage.kafka.kill, 1)
        await asyncio.to_thread(stage.kafka.restart, 1)
        await _answers(stage, EVER_S)
    for name in list(stage.workers):
        stage.start(name)
    return f"{' and '.join(sorted(stage.workers))}{' and a broker' if with_broker else ''}"


async def _answers(stage: Stage, within_s: float) -> None:
    for _ in range(100):
        with suppress(KafkaError):
            await stage.hit(within_s)
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the broker does not answer")


async def guest(stage: Stage, _: str) -> str:
    """A worker joins and leaves in order, while it folds or while it still takes over."""
    name, worker = await stage.guest()
    if stage.chance.random() < 0.3:
        stage.arm(name, "linger 1 rows restored")
        await stage.until(lambda: not points.file_of(stage.scene.directory / name).exists(), EVER_S)
        how = "while it took over"
    else:
        await stage.folds(worker)
        await asyncio.sleep(stage.chance.random() * 2)
        how = "while it folded"
    await stage.hit(STOPPED_S if how == "while it folded" else EVER_S)
    code = await worker.stop(60)
    assert code == 0, f"{name} left with {code}:\n{worker.log.read_text()[-3000:]}"
    stage.disarm(name)
    return f"{name} left {how}"


async def crowd(stage: Stage, _: str) -> str:
    """A worker is killed, comes back with an empty disk, and others join while it recovers."""
    name = stage.any()
    await stage.hit(KILLED_S)
    stage.workers[name].kill()
    stage.scene.wipe(name)
    stage.arm(name, "linger 1 rows restored")
    stage.start(name)
    other_name, other = await stage.guest()
    await stage.folds(other)
    await asyncio.sleep(stage.chance.random() * 2)
    assert await other.stop(60) == 0, other.log.read_text()[-3000:]
    stage.disarm(name)
    return f"{name}, with {other_name} beside it"


async def restart(stage: Stage, _: str) -> str:
    """A worker stops in order, and starts again; the others take over, if there are any."""
    name = stage.any()
    alone = len(stage.workers) == 1
    await stage.folds(stage.workers[name])
    if not alone:
        await stage.hit(STOPPED_S)
    code = await stage.workers[name].stop(60)
    assert code == 0, f"{name} stopped with {code}:\n{stage.workers[name].log.read_text()[-3000:]}"
    if alone:
        await stage.hit(KILLED_S)
    else:
        # The others are measured by themselves, not while one joins again.
        assert stage.standing is not None
        await stage.standing
    stage.start(name)
    return f"{name}{', the only one' if alone else ''}"


async def jump(stage: Stage, _: str) -> str:
    """Time leaps ahead, where the clock is a topic."""
    seconds = stage.chance.choice((60, 3_600, 26 * 3_600, 40 * 86_400))
    await stage.hit(EVER_S)
    async with AIOKafkaProducer(**stage.scene.kafka) as sender:
        await stage.scene.jump(sender, seconds)
    return f"by {seconds // 3600} h"


class NotHere(Exception):
    """This cannot happen on this machine; the message says why."""


Kind = Callable[[Stage, str], Awaitable[str]]

#: By name, with how often each is drawn.
KINDS: Final[Mapping[str, tuple[Kind, int]]] = {
    "kill": (kill, 4),
    "die": (die, 8),
    "die again": (die_again, 3),
    "pause": (pause, 3),
    "heir": (heir, 2),
    "wipe": (wipe, 2),
    "torn": (torn, 3),
    "full": (full, 2),
    "broker": (broker, 3),
    "everyone": (everyone, 2),
    "guest": (guest, 3),
    "crowd": (crowd, 2),
    "restart": (restart, 2),
    "jump": (jump, 2),
}

"""A campaign: a broker, workers under load, faults drawn from a seed, and then the look at what is left."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from streams.broker import Broker
from tests.faults.kinds import EVER_S, KINDS, NotHere, Stage
from tests.faults.scene import FaultScene, NotMoving

#: So many faults of a hasty campaign come one upon the other.
HASTE = 3


class Fault(NamedTuple):
    """One that happened: how long partitions stood still after it, and how long they may; None where the next one did not wait
    for that."""

    kind: str
    took_s: float | None
    within_s: float


@dataclass
class Survived:
    """What came of a campaign."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    facts: int = 0
    #: Why it is red; None where everything held.
    red: str | None = None
    #: Whether that is what the promise forbids, and not a campaign that failed by itself.
    broken: bool = False

    @property
    def late(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.took_s is not None and fault.took_s > fault.within_s]


class Plan(NamedTuple):
    """What a seed decides: the cluster, the clock, the workers, and the faults in their order."""

    nodes: int
    clock: str
    workers: tuple[str, ...]
    faults: tuple[str, ...]


def plan(seed: int, faults: int, only: Sequence[str] = ()) -> Plan:
    chance = random.Random(f"campaign {seed}")
    nodes = chance.choice((1, 1, 1, 3))
    clock = chance.choice(("system", "system", "topic"))
    workers = chance.choice((("a",), ("a", "b"), ("a", "b")))
    names = [name for name in KINDS if name != "jump" or clock == "topic"]
    drawn = chance.choices(names, [KINDS[name][1] for name in names], k=faults)
    if only:
        drawn = [chance.choice(only) for _ in range(faults)]
    return Plan(nodes, clock, workers, tuple(drawn))


async def run(
    seed: int,
    of: Plan,
    tell: Callable[[str], object],
    *,
    broken: str = "",
    hasty: bool = False,
    keep: Path | None = None,
) -> Survived:
    """Runs one; what its workers wrote is kept under `keep`. `hasty`: a fault comes while the one before is still got over."""
    directory = Path(tempfile.mkdtemp(prefix="seatstream-faults-"))
    survived = Survived(seed)
    tell(f"seed {seed}: {len(of.faults)} faults, {of.nodes} broker(s), {' and '.join(of.workers)}, clock: {of.clock}")
    try:
        with Broker(nodes=of.nodes, data=directory / "broker") as kafka:
            scene = FaultScene(
                kafka.bootstrap, directory, seed, clock=of.clock, replication=of.nodes, broken=broken
            )  # fmt: skip
            try:
                await _run(seed, of, scene, kafka, survived, tell, hasty=hasty)
            except Exception as error:
                survived.red = f"{type(error).__name__}: {error}"
                survived.broken = isinstance(error, AssertionError)
            finally:
                scene.end()
                if keep is not None:
                    _keep_logs(directory, keep / str(seed))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return survived


async def _run(
    seed: int,
    of: Plan,
    scene: FaultScene,
    kafka: Broker,
    survived: Survived,
    tell: Callable[[str], object],
    *,
    hasty: bool,
) -> None:
    await scene.prepare()
    stage = Stage(scene, kafka, of.nodes, random.Random(f"faults of {seed}"))
    if "full" in of.faults and scene.mount("a"):
        stage.small.append("a")
    for name in of.workers:
        stage.start(name)
    async with scene.load():
        await stage.hit(EVER_S)
        await _moving_again(stage)
        for number, said in enumerate(of.faults, 1):
            kind, _, which = said.partition(":")
            begun = time.monotonic()
            try:
                what = await KINDS[kind][0](stage, which)
            except NotHere as why:
                tell(f"  [{number}/{len(of.faults)}] {kind}: NOT DONE: {why}")
                continue
            if hasty and number % HASTE and number < len(of.faults):
                survived.faults.append(Fault(said, None, EVER_S))
                tell(f"  [{number}/{len(of.faults)}] {kind}: {what}; and at once")
                await asyncio.sleep(stage.chance.random() * 3)
                stage.keep_up()
                continue
            fault = Fault(said, *await _moving_again(stage))
            if hasty:
                fault = fault._replace(within_s=EVER_S)
            survived.faults.append(fault)
            _nobody_stands_still(stage)
            await scene.steps_must_follow_on()
            scene.must_be_loaded()
            tell(
                f"  [{number}/{len(of.faults)}] {kind}: {what}; moving again after {fault.took_s:.1f} s"
                f"{f', LATER THAN {fault.within_s:.0f} s' if fault in survived.late else ''}"
                f" (in all {time.monotonic() - begun:.0f} s)"
            )
            await asyncio.sleep(stage.chance.random())
    survived.facts = scene.facts
    await _stop(stage)
    healed = scene.heal(of.workers)
    if healed:
        tell(f"  torn, and not read since: {', '.join(healed)}; rebuilt once more")
        for name in of.workers:
            stage.start(name)
        await _stop(stage)
    await scene.must_agree(*of.workers, *stage.guests)
    await scene.must_be_proved(of.workers)
    tell(f"  {scene.facts:,} facts: all of them folded once, as the naive model and `seatstream verify` say")


def _keep_logs(directory: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    for log in directory.glob("*.log"):
        shutil.copy(log, keep)


async def _moving_again(stage: Stage) -> tuple[float, float]:
    assert stage.standing is not None
    while not stage.standing.done():
        stage.keep_up()
        await asyncio.sleep(0.2)
    stage.keep_up()
    try:
        return await stage.standing
    except NotMoving as error:
        said = "\n".join(f"{worker.log.name}:\n{worker.log.read_text()[-1500:]}" for worker in stage.workers.values())
        raise NotMoving(f"{error}\n{said}") from error


def _nobody_stands_still(stage: Stage) -> None:
    for worker in stage.scene.workers:
        said = worker.log.read_text(errors="replace")
        at = said.find("stands still, the others go on")
        assert at < 0, f"{worker.log.name}: {said[max(0, at - 200) : at + 3000]}"


async def _stop(stage: Stage) -> None:
    await stage.scene.folded(EVER_S)
    for name, worker in stage.workers.items():
        await stage.folds(worker)
        code = await worker.stop(60)
        assert code == 0, f"{name} stopped with {code}:\n{worker.log.read_text()[-3000:]}"
    _nobody_stands_still(stage)

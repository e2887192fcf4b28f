"""Campaigns of faults against the real workers and the real broker; each is decided by its seed.

    python -m tests.faults [--seed N] [--faults K] [--until M] [--only KIND,...] [--break NAME | --breaks]

What was survived adds up in tests/faults/survived.json.
"""

import argparse
import asyncio
import json
import logging
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests import hurry_java
from tests.faults import breaks
from tests.faults.campaign import Survived, plan, run
from tests.faults.kinds import KILLED_S, KINDS, STOPPED_S

SUM = Path(__file__).with_name("survived.json")
GOAL = 300
#: Within which every partition has to move again, and after what.
OWED = {KILLED_S: "20 s after a kill", STOPPED_S: "5 s after a stop in order"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="of the first campaign; the others follow it")
    parser.add_argument("--faults", type=int, default=12, help="of each campaign")
    parser.add_argument(
        "--until", type=int, default=0, help="campaigns until so many faults have happened (one unless said)"
    )
    parser.add_argument("--only", default="", help=f"these kinds, by commas: {', '.join(KINDS)}")
    parser.add_argument("--hasty", action="store_true", help="a fault comes while the one before is still got over")
    parser.add_argument("--break", dest="broken", default="", choices=("", *breaks.BREAKS), help="break the promise")
    parser.add_argument("--breaks", action="store_true", help="break it in each way, with the faults that can show it")
    parser.add_argument("--keep", type=Path, help="where the workers' logs are kept")
    said = parser.parse_args()
    hurry_java()
    # Told to stop, it takes its workers and its broker along.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # What clients say of a broker that is gone is expected.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = random.SystemRandom().randrange(10**6) if said.seed is None else said.seed
    if said.breaks:
        return _break_all(seed, said)
    only = [kind for kind in said.only.split(",") if kind] or (
        list(breaks.BREAKS[said.broken].faults) if said.broken else []
    )
    red = done = 0
    while True:
        survived = _campaign(seed, said, only, said.broken)
        seed, done, red = seed + 1, done + len(survived.faults), red + (survived.red is not None)
        if not said.broken:
            _add(survived, hasty=said.hasty)
        if red > 2 or done >= said.until:
            return int(red > 0)


def _campaign(seed: int, said: argparse.Namespace, only: list[str], broken: str) -> Survived:
    begun = time.monotonic()
    of = plan(seed, said.faults, only)
    if broken:
        of = of._replace(nodes=1, workers=breaks.BREAKS[broken].workers)
    survived = asyncio.run(run(seed, of, _tell, broken=broken, hasty=said.hasty, keep=said.keep))
    if survived.red is not None:
        _tell(
            f"RED: {survived.red}\nagain: python -m tests.faults --seed {seed} --faults {said.faults}{said.hasty * ' --hasty'}"
        )
    _tell(f"seed {seed}: {len(survived.faults)} faults in {time.monotonic() - begun:.0f} s")
    return survived


def _break_all(seed: int, said: argparse.Namespace) -> int:
    """Each break must be seen."""
    unseen = []
    for name, of in breaks.BREAKS.items():
        _tell(f"\n{name}: {(of.apply.__doc__ or '').strip()}")
        for again in range(3):
            survived = _campaign(seed + again, said, list(of.faults), name)
            if survived.broken:
                break
        else:
            unseen.append(name)
    _tell(f"\nnot seen: {', '.join(unseen)}" if unseen else "\nevery break is red")
    return int(bool(unseen))


def _tell(line: str) -> None:
    print(line, flush=True)


def _add(survived: Survived, *, hasty: bool) -> None:
    """What did not hold is kept as it is, until somebody has looked."""
    total = read_sum()
    if survived.red is not None:
        total["red"].append({"seed": survived.seed, "faults": len(survived.faults), "why": survived.red[-300:]})
    else:
        total["campaigns"] += 1
        total["hasty" if hasty else "seeds"].append(survived.seed)
        total["facts"] += survived.facts
        total["faults"] += len(survived.faults)
        for fault in survived.faults:
            late = fault in survived.late
            _note(total["kinds"], fault.kind.partition(":")[0], None if hasty else fault.took_s, late)
            if fault.within_s in OWED:
                _note(total["owed"], OWED[fault.within_s], fault.took_s, late)
    SUM.write_text(json.dumps(total, indent=1) + "\n")
    _tell(f"{total['faults']} of {GOAL} faults survived in {total['campaigns']} campaigns")


def _note(sums: dict[str, dict[str, float]], name: str, took_s: float | None, late: bool) -> None:
    """`hasty`: how many of them nobody measured."""
    mine = sums.setdefault(name, {"times": 0, "hasty": 0, "mean_s": 0.0, "longest_s": 0.0, "late": 0})
    mine["times"] += 1
    if took_s is None:
        mine["hasty"] = mine.get("hasty", 0) + 1
        return
    measured = mine["times"] - mine.get("hasty", 0)
    mine["mean_s"] = round((mine["mean_s"] * (measured - 1) + took_s) / measured, 2)
    mine["longest_s"] = round(max(mine["longest_s"], took_s), 1)
    mine["late"] += late


def read_sum() -> dict[str, Any]:
    if not SUM.exists():
        return {"campaigns": 0, "faults": 0, "facts": 0, "seeds": [], "hasty": [], "owed": {}, "kinds": {}, "red": []}
    found: dict[str, Any] = json.loads(SUM.read_text())
    return found


if __name__ == "__main__":
    sys.exit(main())

"""The long run: random histories, engine against naive model, over consecutive seeds; resumes where it stopped.

    python -m tests.long [--minutes M] [--processes N]

Sums up what was played in tests/ledger/long_run.json. A difference is reduced and shown, its seed is kept there under
`differences` until that seed agrees again (every start looks at those first), and the run goes on.
"""

import argparse
import json
import multiprocessing
import random
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from tests.ledger.duel import duel
from tests.ledger.histories import History, draw_history, shrink

SUM = Path(__file__).parent / "ledger" / "long_run.json"
GOAL = 50_000
CHUNK = 50
#: Name of a size class: its sizes. A seed decides its own size, so that it says everything.
SIZES = {"small": range(5, 16), "medium": range(16, 41), "large": range(41, 121)}
SHARES = ("small",) * 8 + ("medium",) * 11 + ("large",)


def sized(seed: int) -> tuple[str, int]:
    """The size class and the size of a seed's history."""
    rng = random.Random(f"size of {seed}")
    name = rng.choice(SHARES)
    return name, rng.choice(SIZES[name])


def difference(history: History, seed: int) -> str | None:
    """What engine and model disagree about, or how one of them breaks."""
    try:
        duel(history, random.Random(seed))
    except Exception as differ:
        return f"{type(differ).__name__}: {differ}"
    return None


def drawn(seed: int) -> History:
    return draw_history(random.Random(seed), sized(seed)[1])


def reduced(seed: int) -> str:
    """The smallest history found that still fails, and what it shows. Cut, the same questions may not be asked: several are."""

    def fails(history: History) -> bool:
        return bool(history) and any(difference(history, seed + again) for again in range(3))

    history = drawn(seed)
    if not fails(history):
        return "could not be reduced: it fails with its own questions only"
    small = shrink(history, fails)
    return next(filter(None, (difference(small, seed + again) for again in range(3))), "")


def play_chunk(seeds: list[int]) -> dict[str, Any]:
    played: dict[str, Any] = {"seeds": seeds, "classes": {name: [0, 0] for name in SIZES}, "differences": []}
    for seed in seeds:
        name, size = sized(seed)
        history = drawn(seed)
        played["classes"][name][0] += 1
        played["classes"][name][1] += len(history)
        what = difference(history, seed)
        if what is not None:
            played["differences"].append({"seed": seed, "size": size, "what": what.split("\n")[0][:200]})
    return played


def read_sum() -> dict[str, Any]:
    if not SUM.exists():
        return {"histories": 0, "facts": 0, "seeds": [0, 0], "classes": {}, "found": 0, "differences": []}
    found: dict[str, Any] = json.loads(SUM.read_text())
    return found


def add(total: dict[str, Any], chunk: dict[str, Any]) -> None:
    for name, (histories, facts) in chunk["classes"].items():
        mine = total["classes"].setdefault(name, {"histories": 0, "facts": 0})
        mine["histories"] += histories
        mine["facts"] += facts
        total["histories"] += histories
        total["facts"] += facts
    total["seeds"][1] = max(total["seeds"][1], chunk["seeds"][-1] + 1)
    total["found"] += len(chunk["differences"])
    total["differences"] += chunk["differences"]


def write_sum(total: dict[str, Any]) -> None:
    written = SUM.with_suffix(".new")
    written.write_text(json.dumps(total, indent=1) + "\n")
    written.replace(SUM)


def look_again(total: dict[str, Any]) -> None:
    """Seeds that once differed: those that agree by now leave the list."""
    still = []
    for each in total["differences"]:
        what = difference(drawn(each["seed"]), each["seed"])
        if what is not None:
            still.append(each | {"what": what.split("\n")[0][:200]})
        print(f"seed {each['seed']} {'agrees now' if what is None else 'still differs'}", flush=True)
    total["differences"] = still


def run(minutes: float, processes: int, *, reduce: bool = True) -> dict[str, Any]:
    """Plays until the time is over; chunks are summed in the order of their seeds."""
    total = read_sum()
    look_again(total)
    write_sum(total)
    until = time.monotonic() + 60 * minutes
    started, before = time.monotonic(), total["histories"]
    seed = total["seeds"][1]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running: list[Future[dict[str, Any]]] = []
        while True:
            while len(running) < processes and time.monotonic() < until:
                running.append(pool.submit(play_chunk, list(range(seed, seed + CHUNK))))
                seed += CHUNK
            if not running:
                break
            wait(running[:1], return_when=FIRST_COMPLETED)
            chunk = running.pop(0).result()
            add(total, chunk)
            write_sum(total)
            rate = (total["histories"] - before) / (time.monotonic() - started)
            print(
                f"{total['histories']:,} of {GOAL:,} histories, {total['facts']:,} facts, "
                f"{len(total['differences'])} differences, {rate:.1f}/s",
                flush=True,
            )
            for each in chunk["differences"]:
                print(f"\nseed {each['seed']} (size {each['size']}): {each['what']}", flush=True)
                if reduce:
                    print(reduced(each["seed"]), flush=True)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long", description=__doc__)
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="how long (a day unless said)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--no-reduce", action="store_true", help="only note what differs")
    parser.add_argument("--seed", type=int, help="only this seed, reduced and shown; nothing is summed")
    said = parser.parse_args()
    if said.seed is not None:
        what = difference(drawn(said.seed), said.seed)
        print("agrees" if what is None else f"{what}\n\nreduced:\n{reduced(said.seed)}")
        return 0 if what is None else 1
    try:
        total = run(said.minutes, said.processes, reduce=not said.no_reduce)
    except KeyboardInterrupt:
        total = read_sum()
    return 1 if total["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())

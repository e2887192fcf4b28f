"""The long run: random histories, engine against naive model, over consecutive seeds; resumes where it stopped.

    python -m tests.long [--minutes M] [--processes N]

Sums up what was played in tests/ledger/long_run.json. A difference is reduced and shown, its seed is kept there under
`differences` until that seed agrees again (every start looks at those first), and the run goes on. A history that takes
longer than its time is a difference, and so is one that its process does not survive.
"""

import argparse
import gc
import json
import multiprocessing
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.ledger.duel import duel
from tests.ledger.histories import History, draw_history, shrink

SUM = Path(__file__).parent / "ledger" / "long_run.json"
GOAL = 50_000
CHUNK = 200
#: Seconds of processor time (so that a crowded machine makes no difference): for one history, and for reducing one.
LIMIT, REDUCING = 60.0, 600.0
#: Name of a size class: its sizes. A seed decides its own size, so that it says everything.
SIZES = {"small": range(5, 16), "medium": range(16, 41), "large": range(41, 121)}
SHARES = ("small",) * 8 + ("medium",) * 11 + ("large",)


def sized(seed: int) -> tuple[str, int]:
    """The size class and the size of a seed's history."""
    rng = random.Random(f"size of {seed}")
    name = rng.choice(SHARES)
    return name, rng.choice(SIZES[name])


class TookTooLong(Exception):
    """What was played was not over in its time."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises `TookTooLong` in what runs under it, wherever that is."""

    def over(*_: object) -> None:
        raise TookTooLong(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def difference(history: History, seed: int, limit: float = LIMIT) -> str | None:
    """What engine and model disagree about, or how one of them breaks, or that they are not done in time."""
    try:
        with within(limit):
            duel(history, random.Random(seed))
    except Exception as differ:
        return f"{type(differ).__name__}: {differ}"
    return None


def drawn(seed: int) -> History:
    return draw_history(random.Random(seed), sized(seed)[1])


def reduced(seed: int) -> str:
    """The smallest history found that still fails, and what it shows. Cut, the same questions may not be asked: several are."""
    history = drawn(seed)
    whole = difference(history, seed)
    # A cut history takes less than its whole; one that hangs is not waited for again and again.
    limit = 5.0 if whole is not None and whole.startswith(TookTooLong.__name__) else LIMIT
    until = time.process_time() + REDUCING

    def fails(history: History) -> str | None:
        if not history or time.process_time() > until:
            return None
        return next(filter(None, (difference(history, seed + again, limit) for again in range(3))), None)

    if fails(history) is None:
        return f"could not be reduced: it fails with its own questions only\n{whole}"
    small = shrink(history, lambda shorter: fails(shorter) is not None)
    return next(filter(None, (difference(small, seed + again, limit) for again in range(3))), "")


def play(seeds: list[int]) -> dict[str, Any]:
    played = nothing(seeds)
    # A history leaves little behind: looking for garbage all the time costs more than it brings.
    gc.set_threshold(100_000, 50, 50)
    for seed in seeds:
        name, size = sized(seed)
        history = drawn(seed)
        played["classes"][name][0] += 1
        played["classes"][name][1] += len(history)
        what = difference(history, seed)
        if what is not None:
            played["differences"].append({"seed": seed, "size": size, "what": what.split("\n")[0][:200]})
    return played


def nothing(seeds: list[int]) -> dict[str, Any]:
    return {"seeds": seeds, "classes": {name: [0, 0] for name in SIZES}, "differences": []}


# --- processes, which may die ----------------------------------------------------------------------------------------

T = TypeVar("T")


def apart(what: Callable[..., T], *of: object) -> T | None:
    """What a process of its own answers; None if it died."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(what, *of).result()
        except BrokenProcessPool:
            return None


def play_apart(seeds: list[int]) -> dict[str, Any]:
    """Plays in a process of its own; if that died, each history in another: to find the one that it did not survive."""
    together = apart(play, seeds) if len(seeds) > 1 else None
    if together is not None:
        return together
    played = nothing(seeds)
    for seed in seeds:
        one = apart(play, [seed])
        if one is None:
            one = nothing([seed])
            one["differences"].append({"seed": seed, "size": sized(seed)[1], "what": "its process died"})
        for name, (histories, facts) in one["classes"].items():
            played["classes"][name][0] += histories
            played["classes"][name][1] += facts
        played["differences"] += one["differences"]
    return played


# --- the sum ---------------------------------------------------------------------------------------------------------


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
        differs = play_apart([each["seed"]])["differences"]
        still += differs
        print(f"seed {each['seed']} {'still differs' if differs else 'agrees now'}", flush=True)
    total["differences"] = still


def run(minutes: float, processes: int, *, reduce: bool = True) -> dict[str, Any]:
    """Plays until the time is over; chunks are summed in the order of their seeds."""
    total = read_sum()
    look_again(total)
    write_sum(total)
    until = time.monotonic() + 60 * minutes
    started, before = time.monotonic(), total["histories"]
    seed = total["seeds"][1]
    running: deque[Future[dict[str, Any]]] = deque()
    # A thread waits for each process.
    threads = ThreadPoolExecutor(processes)
    while True:
        while len(running) < processes and time.monotonic() < until:
            running.append(threads.submit(play_apart, list(range(seed, seed + CHUNK))))
            seed += CHUNK
        if not running:
            break
        chunk = running.popleft().result()
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
                print(apart(reduced, each["seed"]), flush=True)
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

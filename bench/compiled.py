"""The ledger as its wheel has it, compiled, beside the ledger as its source says it: built, and measured in turns."""

import contextlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(place: Path) -> None:
    """Builds the wheel as `make wheel` does and unpacks it in `place`. Takes a minute and a C compiler."""
    command = ["uv", "build", "--quiet", "--no-build-isolation", "--offline", "--python", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out-dir", str(place / "dist"), str(ROOT)],
        env={**os.environ, "SEATSTREAM_BUILD": "compiled"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the wheel was not built:\n{done.stderr[-4_000:]}")
    [wheel] = (place / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(place)


def in_turns(place: Path, rounds: int, jitter: int) -> tuple[list[float], list[float]]:
    """CPU seconds of the same batches of burns, pure and with what is unpacked in `place`: a process each, in turns."""
    with _folding(ROOT, rounds, jitter) as pure, _folding(place, rounds, jitter) as compiled:
        pairs = [(pure(), compiled()) for _ in range(rounds)]
    return [one for one, _ in pairs], [other for _, other in pairs]


@contextlib.contextmanager
def _folding(place: Path, rounds: int, jitter: int) -> Iterator[Callable[[], float]]:
    """Folds a batch at each call, with the packages of `place`. Answers the seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.compiled", str(rounds), str(jitter)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    says, hears = process.stdout, process.stdin
    if says.readline().strip() != ("pure" if place == ROOT else "compiled"):
        raise SystemExit(f"{place} is not what it should be")

    def fold() -> float:
        hears.write("\n")
        hears.flush()
        return float(says.readline())

    try:
        yield fold
    finally:
        process.kill()
        process.communicate()


def _fold_when_told(rounds: int, jitter: int) -> None:
    import gc  # noqa: PLC0415

    from bench.customers import burns, mixed  # noqa: PLC0415
    from bench.ledger import BATCH, CUSTOMERS, SEATS, WARM, Partition, cpu, cut  # noqa: PLC0415
    from ledger import ledger  # noqa: PLC0415

    messages = burns(WARM + rounds * BATCH, CUSTOMERS, SEATS, jitter=jitter)
    partition = Partition(list(mixed(CUSTOMERS, SEATS, dry=False))).fold_all(messages[:WARM])
    gc.collect()
    gc.freeze()
    print("pure" if ledger.__file__.endswith(".py") else "compiled", flush=True)
    for batch in cut(messages[WARM:]):
        sys.stdin.readline()
        print(cpu(lambda b=batch: partition.fold(b)), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    _fold_when_told(int(sys.argv[1]), int(sys.argv[2]))

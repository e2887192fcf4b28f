"""How long a period that starts for many seats holds up the other facts of their partition: the steps in which it is said.

    python -m bench.period [--seats 10000]

One partition, no Kafka: the bookkeeper over RocksDB. All seats have credits of their own for each month, and a tick comes when
the second month has begun. Seconds are CPU seconds of this process.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from bench.customers import CONTRACT, SIGNED, contract
from bench.kept import Kept
from ledger.amounts import UNIT
from ledger.facts import AddSeats, SeatChange, SeatName
from ledger.instants import DAY
from wire.codec import write
from wire.control import tick

CUSTOMER = "customer"
#: Seats come so many at once.
TOGETHER = 1_000
ASKED_MS = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seats", type=int, default=10_000)
    seats = parser.parse_args().seats
    console = Console(stderr=True)
    with TemporaryDirectory() as directory:
        kept = Kept(Path(directory))
        kept.fold([kept.record("contract-change", write(contract(CUSTOMER, (), monthly=5 * UNIT)), SIGNED)])
        for first in track(range(0, seats, TOGETHER), "seats come", console=console):
            names = [SeatName(seat_id=f"seat-{number}") for number in range(first, min(seats, first + TOGETHER))]
            edit = SeatChange(
                id=f"edit-{first}",
                customer_id=CUSTOMER,
                time=SIGNED,
                contract_id=CONTRACT,
                subscription_id="seats",
                operations=(AddSeats(starting_at=SIGNED, seat_ids=tuple(names)),),
            )
            kept.fold([kept.record("seat-change", write(edit), SIGNED)])
        # Longer than any month, and shorter than two.
        now = SIGNED + 32 * DAY
        said, steps, unfinished = 0, [], True
        records = [kept.record("control", tick(now), now)]
        with console.status("the period starts"):
            while unfinished:
                begun = time.process_time()
                outputs, unfinished = kept.step(records)
                steps.append((time.process_time() - begun) * 1000)
                said += len(outputs)
                records = []
    print(
        f"{seats:,} seats: {said:,} messages in {len(steps):,} steps, {sum(steps) / 1000:.1f} s in all;"
        f" a step takes {median(steps):.0f} ms, {max(steps):.0f} at most (asked: at most {ASKED_MS})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

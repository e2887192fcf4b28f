"""What is kept of a year of burns: rows and bytes by month, with burns that age and without.

    python -m bench.ageing [--days 360] [--seats 100] [--burns 10]

One partition, no Kafka: the bookkeeper over RocksDB, a batch and a tick a day, so many seats with so many burns a day each.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.customers import SIGNED, contract
from bench.kept import Kept
from ledger.amounts import UNIT
from ledger.facts import CreditBurn
from ledger.instants import DAY, Instant
from tables.shard import TABLES
from wire.codec import write
from wire.control import tick

CUSTOMERS = 10
MONTH = 30


class Disk(Kept):
    """A partition that is folded a day at a time."""

    def __init__(self, directory: Path, history: str, seats: int) -> None:
        super().__init__(directory, SEATSTREAM_HISTORY=history, SEATSTREAM_SNAPSHOT="P1D")
        names = [f"seat-{number}" for number in range(seats // CUSTOMERS)]
        facts = [contract(f"customer-{each}", names, monthly=1_000 * UNIT, signed=SIGNED) for each in range(CUSTOMERS)]
        self.fold([self.record("contract-change", write(fact), SIGNED) for fact in facts])

    def day(self, burns: Sequence[CreditBurn], end: Instant) -> float:
        """Folds a day's burns; answers the CPU seconds that it took."""
        begun = time.process_time()
        records = [self.record("credit-burn", write(burn), burn.time) for burn in burns]
        self.fold([*records, self.record("control", tick(end), end)])
        return time.process_time() - begun

    def held(self) -> list[float]:
        """Burns in the trail, the trail's MB, and the state's: what is in the rows, not what RocksDB has yet to clear."""
        burns = sum(1 for _ in self.shard.scan("trail", b"b", b"c"))
        taken = [sum(len(key) + len(value) for key, value in self.shard.scan(table, b"", b"\xff")) for table in TABLES]
        state, trail = (round(size / 1e6, 1) for size in taken)
        return [burns, trail, state]


def burns_of(day: int, seats: int, burns: int) -> Iterator[CreditBurn]:
    begun = SIGNED + day * DAY
    for number in range(seats * burns):
        yield CreditBurn(
            id=f"{day}-{number}",
            customer_id=f"customer-{number % CUSTOMERS}",
            time=begun + number * DAY // (seats * burns),
            seat_id=f"seat-{number // CUSTOMERS % (seats // CUSTOMERS)}",
            amount=UNIT,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=360)
    parser.add_argument("--seats", type=int, default=100)
    parser.add_argument("--burns", type=int, default=10, help="of each seat, a day")
    args = parser.parse_args()
    columns = ("burns kept single", "trail MB", "state MB")
    table = Table("day", "burns so far", *columns, *(f"{column}, none ages" for column in columns))
    spent = [0.0, 0.0]
    with TemporaryDirectory() as directory:
        disks = [Disk(Path(directory, history), history, args.seats) for history in ("P92D", "P36500D")]
        for day in range(args.days):
            burns = list(burns_of(day, args.seats, args.burns))
            for which, disk in enumerate(disks):
                spent[which] += disk.day(burns, SIGNED + (day + 1) * DAY)
            if (day + 1) % MONTH == 0:
                found = [f"{figure:,}" for disk in disks for figure in disk.held()]
                table.add_row(str(day + 1), f"{(day + 1) * args.seats * args.burns:,}", *found)
    Console().print(table)
    print(f"CPU seconds: {spent[0]:.1f}, and {spent[1]:.1f} where none ages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

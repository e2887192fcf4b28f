"""What alerts cost a burn, over the ledger alone: rules on everybody, and many rules.

    python -m bench.alerts [--quick]

As in `bench.ledger`: rows are bytes in dicts, each batch sees them through a fresh overlay, what is compared is measured in
turns, and seconds are CPU seconds of this process. All seats have 40 credits a month, of which a part is burned before
it begins, so that levels are crossed all the time, one in so many burns.
"""

import argparse
import gc
import random
import sys
from collections.abc import Iterator, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from alerts.at_hand import Memory
from alerts.watcher import Watcher
from bench.customers import OPENED, PLENTY, Message, burn, contract, customer_id, seat_id
from bench.ledger import BATCH, Line, Partition, cpu, cut
from ledger import ledger as rules_of_credits
from ledger.amounts import UNIT
from ledger.instants import HOUR, SECOND
from ledger.ledger import Ledger
from ledger.outcome import Folded
from tables.overlay import Overlay
from wire.codec import read, write
from wire.outputs import threshold_alert
from wire.rules import Rule

CUSTOMERS, SEATS = 500, 20
MONTHLY = 40 * UNIT


class Watched(Partition):
    """A partition with rules on it; None: without a watch."""

    def __init__(self, rules: Sequence[Rule] | None) -> None:
        names = [[seat_id(number, n) for n in range(SEATS)] for number in range(CUSTOMERS)]
        super().__init__()
        self.memory = None if rules is None else Memory()
        self.said = 0
        self.clock = OPENED - HOUR
        if self.memory is not None:
            # Before there is anybody: what a rule costs that comes later is another matter.
            overlay = Overlay(self.rows)
            watcher = Watcher(overlay, self.memory)
            for rule in rules or ():
                watcher.rule(rule, self.clock)
            list(watcher.close(self.clock))
            self.keep(overlay)
        overlay = Overlay(self.rows)
        ledger = Ledger(overlay)
        looker = None if self.memory is None else Watcher(overlay, self.memory, step=1_000_000)
        for number, seats in enumerate(names):
            fact = contract(customer_id(number), seats, monthly=MONTHLY, pool=PLENTY)
            outcome = ledger.fold(fact, fact.time)
            assert isinstance(outcome, Folded), outcome
            if looker is not None:
                looker.note(fact, outcome)
        ledger.flush()
        if looker is not None:
            list(looker.close(self.clock))
        self.keep(overlay)

    def attempt(self, messages: Sequence[Message], overlay: Overlay | None = None) -> Overlay:
        overlay = overlay or Overlay(self.rows)
        ledger = Ledger(overlay)
        watcher = None if self.memory is None else Watcher(overlay, self.memory)
        for value, arrived_at in messages:
            fact = read("credit-burn", None, value)
            outcome = ledger.fold(fact, arrived_at)  # type: ignore[arg-type]
            if not isinstance(outcome, Folded):
                raise SystemExit(f"a burn was not folded: {outcome}")
            if watcher is not None:
                watcher.note(fact, outcome)  # type: ignore[arg-type]
        ledger.flush()
        self.clock = max(self.clock, messages[-1].arrived_at)
        if watcher is not None:
            for alert in watcher.close(self.clock):
                threshold_alert(alert, {})
                self.said += 1
        return overlay


def seat_rule(rule_id: str = "seats", levels: Sequence[int] = (20, 10, 0), customer: str | None = None) -> Rule:
    return Rule(
        rule_id=rule_id, name=rule_id, metric="balance", scope="seat", customer_id=customer,
        levels=tuple(level * UNIT for level in levels),
    )  # fmt: skip


def pool_rule(rule_id: str = "pools", customer: str | None = None) -> Rule:
    return Rule(
        rule_id=rule_id, name=rule_id, metric="balance_percent", scope="pool", customer_id=customer,
        levels=(10 * UNIT, 0),
    )  # fmt: skip


def many() -> list[Rule]:
    """50 rules for all, and 10,000 for one customer each, of whom every second has none here."""
    chance = random.Random(3)
    found = [(pool_rule if n % 2 else seat_rule)(f"all-{n}") for n in range(50)]
    for n in range(10_000):
        found.append(
            (pool_rule if n % 2 else seat_rule)(f"one-{n}", customer=customer_id(chance.randrange(2 * CUSTOMERS)))
        )
    return found


def messages(batches: int, one_in: int, jitter: int) -> tuple[list[Message], list[Message]]:
    """The burns that go before, and those that are measured: a level is crossed in one of so many (0: in none)."""
    chance = random.Random(5)
    seats = [(customer, seat) for customer in range(CUSTOMERS) for seat in range(SEATS)]
    begun = [
        (chance.randrange(1, MONTHLY) if one_in else UNIT, customer, seat, OPENED + n * 1000)
        for n, (customer, seat) in enumerate(seats)
    ]
    most = 2 * MONTHLY // (3 * one_in) if one_in else UNIT // 1_000
    later = [
        (
            chance.randrange(1, most),
            chance.randrange(CUSTOMERS),
            chance.randrange(SEATS),
            OPENED + 60 * SECOND + n * 2000,
        )
        for n in range(batches * BATCH)
    ]
    late = random.Random(6)

    def made(prefix: str, burned: list[tuple[int, int, int, int]]) -> list[Message]:
        found = [
            Message(
                write(burn(f"{prefix}-{n}", customer, seat, time, amount)),
                time + (late.randrange(jitter * SECOND) if jitter else 0),
            )
            for n, (amount, customer, seat, time) in enumerate(burned)
        ]
        return sorted(found, key=lambda message: message.arrived_at)

    return made("first", begun), made("then", later)


def compare(
    rules: Sequence[Sequence[Rule] | None], batches: int, one_in: int, jitter: int = 0
) -> tuple[list[list[float]], list[int]]:
    """Seconds of each batch with each of these sets of rules, in turns; and how many alerts each said."""
    first, then = messages(batches, one_in, jitter)
    partitions = [Watched(each) for each in rules]
    for partition in partitions:
        partition.fold_all(first)
        partition.fold_all(then[: 2 * BATCH])
        partition.said = 0
    gc.collect()
    gc.freeze()
    found: list[list[float]] = [[] for _ in rules]
    for batch in cut(then[2 * BATCH :]):
        for partition, seconds in zip(partitions, found, strict=True):
            seconds.append(cpu(lambda p=partition, b=batch: p.fold(b)))  # type: ignore[misc]
    gc.unfreeze()
    return found, [partition.said for partition in partitions]


def ratio(of: list[float], to: list[float]) -> float:
    return median(one / other for one, other in zip(of, to, strict=True))


def everybody(batches: int) -> Iterator[Line]:
    rules = [seat_rule(), pool_rule()]
    for one_in, jitter in ((0, 0), (1_000, 0), (100, 0), (1_000, 60)):
        (alone, none, with_rules), said = compare([None, [], rules], batches, one_in, jitter)
        burned = len(alone) * BATCH
        crossed = f"an alert in {burned / said[2]:,.0f} burns" if said[2] else "no alert"
        if jitter:
            crossed += f", up to {jitter} s late"
        throughput = ratio(none, with_rules)
        asked = one_in != 100
        yield Line(
            f"throughput with 3 levels on every seat and 2 on every pool, {crossed}", f"{throughput:.2f}",
            ">= 0.80" if asked else "", throughput >= 0.8 if asked else None,
        )  # fmt: skip
        yield Line("  a burn, without a watch", f"{median(alone) / BATCH * 1e6:.1f} us")
        yield Line(
            "  with a watch and no rules; with rules",
            f"{median(none) / BATCH * 1e6:.1f}; {median(with_rules) / BATCH * 1e6:.1f} us",
        )


def crowd(batches: int) -> Iterator[Line]:
    (one, all_of_them), said = compare([[seat_rule("all-0")], many()], batches, 10_000)
    times = ratio(all_of_them, one)
    yield Line(
        "a burn with 10,000 rules for one customer each and 50 for all, against one rule",
        f"{times:.2f}",
        "<= 1.30",
        times <= 1.3,
    )
    yield Line("  alerts that were said", f"{said[0]:,}; {said[1]:,}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look, in a minute or two")
    args = parser.parse_args()
    batches = 8 if args.quick else 25
    form = "pure Python" if rules_of_credits.__file__.endswith(".py") else "compiled"
    table = Table("what", "measured", "asked", "", title=f"Alerts over the ledger, one core, {form}")
    console = Console()
    if not console.is_terminal:
        console.width = 130
    failed = False
    for part in (everybody, crowd):
        for line in part(batches):
            mark = "" if line.holds is None else "[green]yes[/]" if line.holds else "[red]no[/]"
            table.add_row(line.what, line.found, line.asked, mark)
            failed |= line.holds is False
        table.add_section()
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

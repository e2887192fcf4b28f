"""How fast the ledger is: what the table of the first issue asks for, measured in one run.

    python -m bench.ledger [--quick] [--past 1000000] [--compiled]

Rows are bytes in dicts. Each batch sees them through a fresh overlay, as it does in the stream, and what it wrote is
put into the dicts at its end, so that every row leaves as bytes; it comes back as bytes where it did not stay at hand, as in
the stream too. What is compared is measured in turns.
The ledger is measured as it is imported, pure in a checkout; with `--compiled` both ways, one beside the other.
Seconds are CPU seconds of this process: nothing here waits, and a busy neighbour does not count.
"""

import argparse
import gc
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from types import FrameType
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.compiled import build, in_turns
from bench.customers import (
    CONTRACT,
    OPENED,
    PLENTY,
    SIGNED,
    Message,
    burn,
    burns,
    contract,
    customer_id,
    mixed,
    past_grants,
    seat_id,
)
from ledger import ledger as rules
from ledger.amounts import UNIT
from ledger.facts import CREDITS, AnyFact
from ledger.instants import DAY, HOUR, MINUTE, SECOND, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded
from tables.memory import MemoryRows
from tables.overlay import Overlay
from tables.overlay import Table as Name
from wire.codec import read, write

BATCH = 2_000
CUSTOMERS, SEATS = 500, 20
#: So many rows stay at hand: what a worker of one partition keeps.
AT_HAND = 50_000
#: Each seat burned once, and a minute more: the first burns of those that are late have all come.
WARM = CUSTOMERS * SEATS + 60 * CUSTOMERS


class Size(NamedTuple):
    """How much is measured. `past`: how many burns there were before."""

    batches: int
    rounds: int
    seats: int
    grants: int
    past: int


QUICK = Size(batches=5, rounds=3, seats=10_000, grants=200, past=100_000)
WHOLE = Size(batches=50, rounds=15, seats=100_000, grants=1_000, past=1_000_000)


class Line(NamedTuple):
    """One line of the table. `holds`: whether it is what was asked for, None where nothing was."""

    what: str
    found: str
    asked: str = ""
    holds: bool | None = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look, in a minute or two")
    parser.add_argument("--past", type=int, help="how many past burns to compare with none (10 M need 12 GB)")
    parser.add_argument("--compiled", action="store_true", help="the first row compiled too; builds the wheel first")
    args = parser.parse_args()
    size = QUICK if args.quick else WHOLE
    if args.past is not None:
        size = size._replace(past=args.past)
    form = "pure Python" if rules.__file__.endswith(".py") else "compiled"
    table = Table("what", "measured", "asked", "", title=f"The ledger, one core, {form}")
    console = Console()
    if not console.is_terminal:
        console.width = 100
    failed = False
    with Progress(console=Console(stderr=True), transient=True) as progress:
        parts = [*([compiled] if args.compiled else []), stream, one_burn, late, questions]
        for part in progress.track(parts, description="measuring"):
            gc.collect()
            for line in part(size):
                table.add_row(line.what, line.found, line.asked, _mark(line.holds))
                failed |= line.holds is False
            table.add_section()
    console.print(table)
    return 1 if failed else 0


def _mark(holds: bool | None) -> str:
    return "" if holds is None else "[green]yes[/]" if holds else "[red]no[/]"


# --- a partition -----------------------------------------------------------------------------------------------------


class Partition:
    """Rows in dicts, and facts folded into them a batch at a time."""

    def __init__(self, facts: Sequence[AnyFact] = (), at_hand: int = AT_HAND) -> None:
        self.rows = MemoryRows()
        self._ledger = Ledger(self.rows, most=at_hand)
        if facts:
            overlay = Overlay(self.rows)
            ledger = Ledger(overlay)
            for fact in facts:
                _must_fold(ledger, fact, fact.time)
            ledger.flush()
            self.keep(overlay)

    def fold(self, messages: Sequence[Message]) -> None:
        """One batch, from bytes to rows."""
        overlay = Overlay(self.rows)
        self._ledger.turn_to(overlay)
        self.keep(self._attempt(messages, overlay, self._ledger))

    def attempt(self, messages: Sequence[Message], overlay: Overlay | None = None) -> Overlay:
        """One batch that leaves no trace, with every row read anew."""
        overlay = overlay or Overlay(self.rows)
        return self._attempt(messages, overlay, Ledger(overlay))

    def _attempt(self, messages: Sequence[Message], overlay: Overlay, ledger: Ledger) -> Overlay:
        for value, arrived_at in messages:
            fact = read("credit-burn", None, value)
            outcome = ledger.fold(fact, arrived_at)  # type: ignore[arg-type]
            if not isinstance(outcome, Folded):
                raise SystemExit(f"a burn was not folded: {outcome}")
        ledger.flush()
        return overlay

    def keep(self, overlay: Overlay) -> None:
        for name, changes in overlay.rows().items():
            if None in changes.values():
                for key, value in changes.items():
                    if value is None:
                        self.rows.delete(name, key)
                    else:
                        self.rows.put(name, key, value)
            else:
                self.rows.tables[name].update(changes)  # type: ignore[arg-type]

    def fold_all(self, messages: Sequence[Message]) -> "Partition":
        for batch in cut(messages):
            self.fold(batch)
        return self


def _must_fold(ledger: Ledger, fact: AnyFact, arrived_at: Instant) -> None:
    outcome = ledger.fold(fact, arrived_at)
    if not isinstance(outcome, Folded):
        raise SystemExit(f"{fact} was not folded: {outcome}")


def cut(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]


def cpu(what: Callable[[], object]) -> float:
    """Seconds."""
    begun = process_time()
    what()
    return process_time() - begun


# --- burns in time order, and jittered -------------------------------------------------------------------------------


def stream(size: Size) -> Iterator[Line]:
    warm = WARM
    total = warm + size.batches * BATCH
    made = {
        (jitter, dry): (
            Partition(list(mixed(CUSTOMERS, SEATS, dry=dry))),
            burns(total, CUSTOMERS, SEATS, jitter=jitter),
        )
        for jitter, dry in ((0, False), (60, True), (0, True), (60, False))
    }
    anew = Partition(list(mixed(CUSTOMERS, SEATS, dry=False)), at_hand=0)
    for partition, messages in (*made.values(), (anew, made[0, False][1])):
        partition.fold_all(messages[:warm])
    gc.collect()
    gc.freeze()
    seconds: dict[tuple[int, bool], list[float]] = {variant: [] for variant in made}
    read_anew: list[float] = []
    for n in range(warm, total, BATCH):
        for variant, (partition, messages) in made.items():
            batch = messages[n : n + BATCH]
            seconds[variant].append(cpu(lambda p=partition, b=batch: p.fold(b)))  # type: ignore[misc]
        read_anew.append(cpu(lambda b=made[0, False][1][n : n + BATCH]: anew.fold(b)))  # type: ignore[misc]
    gc.unfreeze()
    straight = median(seconds[0, False])
    rate = BATCH / straight
    yield Line("burns in time order, bytes to rows", f"{rate:,.0f}/s", ">= 50,000/s", rate >= 50_000)
    yield Line("  a burn", f"{straight / BATCH * 1e6:.1f} us")
    yield Line("  the same with every row read anew", f"{median(read_anew) / BATCH * 1e6:.1f} us")
    yield from _rows(made[0, False][1][:warm], made[0, False][1][warm : warm + 5 * BATCH])
    yield from _where(size)
    ratios = {variant: _ratio(seconds[0, False], seconds[variant]) for variant in made}
    yield Line("up to 60 s late, half of the pools dry", f"{ratios[60, True]:.2f}", ">= 0.70", ratios[60, True] >= 0.7)
    yield Line("  in order, half of the pools dry", f"{ratios[0, True]:.2f}")
    yield Line("  up to 60 s late, no pool dry", f"{ratios[60, False]:.2f}")


def compiled(size: Size) -> Iterator[Line]:
    """The first row in both forms, each in a process of its own, a batch in turns."""
    with TemporaryDirectory() as name:
        build(Path(name))
        pure, fast = in_turns(Path(name), size.batches, jitter=0)
        late = _ratio(*in_turns(Path(name), size.batches, jitter=60))
    rate, ratio = BATCH / median(fast), _ratio(pure, fast)
    yield Line("burns in time order, compiled", f"{rate:,.0f}/s", ">= 100,000/s", rate >= 100_000)
    yield Line("  the same in pure Python, in turns with it", f"{BATCH / median(pure):,.0f}/s")
    yield Line("  times as fast", f"{ratio:.2f}", ">= 2.00", ratio >= 2)
    yield Line("  up to 60 s late, times as fast", f"{late:.2f}")


def _ratio(of: list[float], to: list[float]) -> float:
    """The median of the ratios of what was measured in turns."""
    return median(one / other for one, other in zip(of, to, strict=True))


def _rows(before: Sequence[Message], messages: Sequence[Message]) -> Iterator[Line]:
    """What a burn reads and writes, and what the dicts themselves cost."""
    partition = Partition(list(mixed(CUSTOMERS, SEATS, dry=False))).fold_all(before)
    of: Counter[str] = Counter()
    store = 0.0
    for batch in cut(messages):
        noted = Noting(partition.rows)
        partition.attempt(batch, noted)
        of += noted.of
        for changes in noted.rows().values():
            of["written"] += len(changes)
            of["bytes"] += sum(len(key) + len(value or b"") for key, value in changes.items())
        again = Overlay(partition.rows)
        store += cpu(lambda o=again, n=noted: [o.get(*key) for key in n.asked])  # type: ignore[misc]
        store += cpu(lambda o=again, n=noted: [o.put(*row) for row in n.given])  # type: ignore[misc]
        store += cpu(lambda o=again: partition.keep(o))  # type: ignore[misc]
    each = {what: number / len(messages) for what, number in of.items()}
    read_rows = f"{each['asked']:.2f} ({each.get('found', 0):.2f}); {each.get('scanned', 0):.2f}"
    yield Line("  rows read anew (that were there); scanned", read_rows)
    yield Line("  rows written; bytes", f"{each['written']:.2f}; {each['bytes']:.0f}")
    yield Line("  the same reads and writes alone", f"{store / len(messages) * 1e6:.1f} us")


class Noting(Overlay):
    """An overlay that notes what it is asked for and given. A batch reads a row once, so that all are reads below."""

    __slots__ = ("asked", "given", "of")

    def __init__(self, below: MemoryRows) -> None:
        super().__init__(below)
        self.asked: list[tuple[Name, bytes]] = []
        self.given: list[tuple[Name, bytes, bytes]] = []
        self.of: Counter[str] = Counter()

    def get(self, table: Name, key: bytes) -> bytes | None:
        value = super().get(table, key)
        self.asked.append((table, key))
        self.of["asked"] += 1
        self.of["found"] += value is not None
        return value

    def put(self, table: Name, key: bytes, value: bytes) -> None:
        self.given.append((table, key, value))
        super().put(table, key, value)

    def scan(self, table: Name, start: bytes, end: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for row in super().scan(table, start, end, reverse):
            self.of["scanned"] += 1
            yield row


#: What a sample counts for, by the function or else the folder that is on the stack; the innermost that is named.
_PLACES = {
    "_flush_kind": "rows to bytes",
    "_encode_amount": "rows to bytes",
    "_read": "rows from bytes",
    "_identity": "identity",
    "_remember": "identity",
    "burn_result": "what became different",
    "_changed": "what became different",
    "_fold_one": "the rules",
    "fold": "the rules",
    "wire": "JSON to facts",
    "tables": "dicts",
    "bench": "dicts",
}


def _where(size: Size) -> Iterator[Line]:
    """Where the time goes: the stack is looked at every few milliseconds."""
    warm = WARM
    messages = burns(warm + size.batches * BATCH, CUSTOMERS, SEATS)
    partition = Partition(list(mixed(CUSTOMERS, SEATS, dry=False))).fold_all(messages[:warm])
    seen: Counter[str] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        seen[_place(frame)] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        partition.fold_all(messages[warm:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    total = seen.total()
    for place, samples in seen.most_common():
        yield Line(f"  {place}", f"{samples / total:.0%}")


def _place(frame: FrameType | None) -> str:
    found = None
    while frame is not None:
        code, caller = frame.f_code, frame.f_back
        if code.co_name == "load" and caller is not None and caller.f_code.co_name == "_burn_quickly":
            return "identity"
        for name in (Path(code.co_filename).parent.name, code.co_name):
            found = found or _PLACES.get(name)
        frame = caller
    return found or "elsewhere"


# --- the cost of one burn --------------------------------------------------------------------------------------------


def one_burn(size: Size) -> Iterator[Line]:
    alone = [seat_id(0, 0)]
    crowd = [seat_id(0, n) for n in range(size.seats)]
    few = Partition([contract(customer_id(0), alone, monthly=40 * UNIT, pool=PLENTY)])
    many = Partition([contract(customer_id(0), crowd, monthly=40 * UNIT, pool=PLENTY)])
    ratio = _compare(few, many, size)
    yield Line(f"a burn with {size.seats:,} seats against 1", f"{ratio:.2f}", "<= 1.50", ratio <= 1.5)
    ratio = _first_burns(size, many)
    yield Line("  a seat's first burn, the same", f"{ratio:.2f}")

    given = past_grants(size.grants)
    signed = min(SIGNED, given[0].effective_at)
    few, many = (
        Partition([contract(customer_id(0), alone, monthly=40 * UNIT, pool=PLENTY, past=past, signed=signed)])
        for past in (given[-1:], given)
    )
    many.fold_all([_message(f"old-{n}", 0, one.effective_at + HOUR, UNIT // 2) for n, one in enumerate(given)])
    ratio = _compare(few, many, size)
    yield Line(f"a burn with {size.grants:,} past grants against 1", f"{ratio:.2f}", "<= 1.50", ratio <= 1.5)

    few, many = (Partition([contract(customer_id(0), alone, monthly=40 * UNIT, pool=PLENTY)]) for _ in range(2))
    rows = _burn_much(many, size.past)
    ratio = _compare(few, many, size)
    yield Line(f"a burn with {size.past:,} past burns against 0", f"{ratio:.2f}", "<= 1.50", ratio <= 1.5)
    yield Line("  rows that there were", f"{rows:,}")


def _message(id: str, seat: int, time: Instant, amount: int = UNIT // 100) -> Message:
    return Message(write(burn(id, 0, seat, time, amount)), time)


def _compare(few: Partition, many: Partition, size: Size) -> float:
    """What a burn of one seat costs in `many` against `few`."""
    times: tuple[list[float], list[float]] = ([], [])
    number = 0
    for n in range(size.rounds + 1):
        batch = [_message(f"new-{number + i}", 0, OPENED + (number + i) * 1000) for i in range(BATCH)]
        number += BATCH
        for partition, found in zip((few, many), times, strict=True):
            seconds = cpu(lambda p=partition, b=batch: p.fold(b))  # type: ignore[misc]
            if n:
                found.append(seconds)
    return _ratio(times[1], times[0])


def _first_burns(size: Size, crowded: Partition) -> float:
    """The first burns of seats of one customer, against those of as many customers of one seat."""
    each = min(200, size.seats // (size.rounds + 1))
    lonely = Partition(
        [
            contract(customer_id(n), [seat_id(n, 0)], monthly=40 * UNIT, pool=PLENTY)
            for n in range(each * (size.rounds + 1))
        ]
    )
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(1, size.rounds + 1):
        at = OPENED + HOUR + n * SECOND
        seats = range(n * each, (n + 1) * each)
        first = [_message(f"first-{seat}", seat, at) for seat in seats]
        other = [Message(write(burn(f"first-{seat}", seat, 0, at, UNIT // 100)), at) for seat in seats]
        times[0].append(cpu(lambda b=first: crowded.fold(b)))  # type: ignore[misc]
        times[1].append(cpu(lambda b=other: lonely.fold(b)))  # type: ignore[misc]
    return _ratio(times[0], times[1])


def _burn_much(partition: Partition, past: int) -> int:
    """So many burns in the past. The first thousands are folded; of the rows that these left, each with its id in its
    key, copies with other ids stand for the others. How many rows there are then."""
    folded = min(past, 10_000)
    step = 30 * DAY // folded
    old = [_message(f"past-000000-{n}", 0, OPENED - DAY * 31 + n * step, 1000) for n in range(folded)]
    partition.fold_all(old)
    names = [
        (name, key, value)
        for name, rows in partition.rows.tables.items()
        for key, value in rows.items()
        if b"past-000000-" in key
    ]
    for copy in range(1, past // folded):
        id = b"past-%06d-" % copy
        for name, key, value in names:
            partition.rows.put(name, key.replace(b"past-000000-", id), value)
    return sum(len(rows) for rows in partition.rows.tables.values())


# --- late burns ------------------------------------------------------------------------------------------------------

STRETCH = 10_000
TAKERS = 1_000


def late(size: Size) -> Iterator[Line]:
    straight = [_message(f"burn-{n}", 0, OPENED + n * SECOND) for n in range(STRETCH)]
    alone = [contract(customer_id(0), [seat_id(0, 0)], monthly=40 * UNIT, pool=PLENTY)]
    partition = Partition(alone).fold_all(straight)
    now = straight[-1].arrived_at
    early, anywhere = (
        _late(partition, size, lambda n, f=first: OPENED + int(f(n)), UNIT, now)  # type: ignore[misc]
        for first in (lambda n: n * 1000 + 500, lambda n: (n * 7919) % STRETCH * SECOND + 500)
    )
    yield Line(f"a late burn before {STRETCH:,} of its seat", f"{early:.2f} ms", "< 5 ms", early < 5)
    yield Line("  anywhere among them", f"{anywhere:.2f} ms", "< 5 ms", anywhere < 5)

    spread = [_message(f"burn-{n}", n % SEATS, OPENED + n * SECOND) for n in range(STRETCH)]
    crowd = [seat_id(0, n) for n in range(SEATS)]
    partition = Partition([contract(customer_id(0), crowd, monthly=UNIT, pool=PLENTY)]).fold_all(spread)
    found = _late(partition, size, lambda n: OPENED + n * MINUTE + 500, UNIT, now)
    yield Line(f"  among {STRETCH:,} of {SEATS} seats", f"{found:.2f} ms", "< 5 ms", found < 5)

    for takers, most in ((1, 5), (TAKERS, 50)):
        pool = UNIT // 100 * STRETCH // 2
        partition = Partition([contract(customer_id(0), crowd, pool=pool)]).fold_all(spread)
        found = _late(partition, size, lambda n: OPENED + n * SECOND + 500, takers * UNIT // 100, now)
        some = f"{takers:,} takers" if takers > 1 else "1 taker"
        yield Line(f"  that moves {some} of a dry pool", f"{found:.1f} ms", f"< {most} ms", found < most)


def _late(partition: Partition, size: Size, at: Callable[[int], Instant], amount: int, now: Instant) -> float:
    """Milliseconds for one late burn, in a batch of its own that nobody keeps."""
    found = []
    for n in range(size.rounds + 1):
        message = Message(write(burn(f"late-{n}", 0, 0, at(n), amount)), now)
        found.append(cpu(lambda m=message: partition.attempt([m])) * 1e3)  # type: ignore[misc]
    return median(found[1:])


# --- questions -------------------------------------------------------------------------------------------------------


def questions(size: Size) -> Iterator[Line]:
    days, a_day = 70, 2_000 // SEATS
    begun = OPENED - days * DAY
    ledger = _asked(SEATS, [_message(f"burn-{n}", n % SEATS, begun + n * (DAY // a_day)) for n in range(days * a_day)])
    now = _ask(size, lambda: _one_seat(ledger, OPENED)) * 1e6
    then = _ask(size, lambda: _one_seat(ledger, OPENED - 60 * DAY)) * 1e3
    yield Line("what one seat has now", f"{now:,.0f} us", "< 200 us", now < 200)
    yield Line("  60 days ago", f"{then:.2f} ms", "< 5 ms", then < 5)

    crowd = size.seats // 10
    full = _asked(crowd, [_message(f"burn-{n}", n, begun + n * (days * DAY // crowd)) for n in range(crowd)])
    now = _ask(size, lambda: _one_seat(full, OPENED)) * 1e6
    due = _ask(size, lambda: full.next_due(customer_id(0), OPENED)) * 1e6
    whose = _ask(size, lambda: full.whose_due(customer_id(0), OPENED)) * 1e6
    yield Line(f"  now, of a customer with {crowd:,} burned seats", f"{now:,.0f} us", "< 200 us", now < 200)
    yield Line(f"when anything of {crowd:,} seats is due next", f"{due:,.0f} us")
    yield Line("  to whom", f"{whose:,.0f} us")


def _asked(seats: int, messages: Sequence[Message]) -> Ledger:
    """A ledger whose customer has so many seats, after these burns."""
    partition = Partition(
        [contract(customer_id(0), [seat_id(0, n) for n in range(seats)], monthly=40 * UNIT, pool=PLENTY)]
    )
    return Ledger(Overlay(partition.fold_all(messages).rows))


def _one_seat(ledger: Ledger, at: Instant) -> object:
    found = ledger.balances(customer_id(0), at, contract_id=CONTRACT, seat_id=seat_id(0, 7), credit_type=CREDITS)
    assert found
    return found


def _ask(size: Size, question: Callable[[], object]) -> float:
    """Seconds."""
    question()
    return median(cpu(question) for _ in range(size.rounds * 10))


if __name__ == "__main__":
    sys.exit(main())

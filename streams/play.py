"""`seatstream play FILE`: facts from a file through the ledger, without Kafka, and tables of what it answers.

The clock of a story is the latest `time` that one of its facts has told: what comes after with an earlier one is late,
and what names something unknown waits until that clock has moved on.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ledger import amounts, instants
from ledger.answers import Balance, Charge, Counts, Entry, GrantBalance
from ledger.facts import CREDITS, AnyFact, topic
from ledger.instants import DAY, HOUR, MINUTE, ORIGIN, Instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refused, Repeated, Scope, Waiting
from streams.stories import Bad, Note, Question, Step, Told, steps
from tables.memory import MemoryRows
from wire import answers

#: So many seats are named in a cell before the rest is only counted.
NAMED = 6
BAD_SHOWN = 20
#: Where the output goes to no terminal, which would know its own.
WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="facts, notes and questions as JSON lines; - is standard input")


def run(args: argparse.Namespace) -> int:
    """Plays the whole file, or says what is wrong with its lines and plays nothing."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with _opened(args.file) as file:
            story = list(steps(file))
    except OSError as error:
        errors.print(f"seatstream play: {args.file}: {error.strerror}", markup=False)
        return 1
    bad = [(number, step) for number, step in story if isinstance(step, Bad)]
    for number, step in bad[:BAD_SHOWN]:
        errors.print(f"{args.file}:{number}: {step.code}: {step.reason}", markup=False)
    if bad:
        more = len(bad) - BAD_SHOWN
        if more > 0:
            errors.print(f"{args.file}: {more} more lines cannot be read")
        return 1
    console = Console(highlight=False)
    play(story, console if console.is_terminal else Console(highlight=False, width=WIDTH))
    return 0


def play(story: Iterable[tuple[int, Step]], console: Console) -> "Play":
    """Tells a story and shows what it asks for."""
    played = Play()
    for _, step in story:
        match step:
            case Note(text=text):
                console.print(Text(text, style="italic"))
            case Told(fact=fact):
                for told in played.tell(fact):
                    console.print(told)
            case Question():
                for answer in _answers(played, step):
                    console.print(answer)
                console.print()
    for fact in played.waiting.values():
        console.print(_said("waiting", fact, "nothing that it names ever came"))
    return played


class Play:
    """A ledger in memory, and the story's clock."""

    def __init__(self) -> None:
        self.ledger = Ledger(MemoryRows(), lateness=34 * DAY, ahead=24 * HOUR, wait=10 * MINUTE)
        self.clock = ORIGIN
        self.customers: dict[str, None] = {}
        self.waiting: dict[tuple[str, str, str], AnyFact] = {}

    def tell(self, fact: AnyFact) -> list[Text]:
        """Folds a fact; says what did not simply fold, and what waited for it or waited in vain."""
        self.clock = max(self.clock, fact.time)
        self.customers[fact.customer_id] = None
        became = [
            *((waited, outcome, True) for waited, outcome in self.ledger.advance(self.clock)),
            (fact, self.ledger.fold(fact, self.clock), False),
            *((waited, outcome, True) for waited, outcome in self.ledger.settled()),
        ]
        self.ledger.flush()
        return [text for of, outcome, waited in became if (text := self._became(of, outcome, waited)) is not None]

    def _became(self, fact: AnyFact, outcome: Outcome, waited: bool) -> Text | None:
        name = (topic(fact), fact.customer_id, fact.id)
        self.waiting.pop(name, None)
        match outcome:
            case Folded():
                return _said("folded", fact, "after it had waited") if waited else None
            case Refused(refusal=refusal):
                where = f"{refusal.field} " if refusal.field and not refusal.message.startswith(refusal.field) else ""
                return _said("refused", fact, f"{refusal.code}: {where}{refusal.message}")
            case Waiting(message=message):
                self.waiting[name] = fact
                return _said("waiting", fact, message)
            case Repeated(differs=differs):
                return _said("repeated", fact, "with another body; the first one counts" if differs else "")


_STYLES = {"refused": "red", "waiting": "yellow", "repeated": "yellow", "folded": "green"}


def _said(outcome: str, fact: AnyFact, why: str) -> Text:
    """One line on what became of a fact."""
    which = f"  {topic(fact)} {fact.id} at {_when(fact.time)}"
    return Text.assemble((f"{outcome:>8}", _STYLES[outcome]), which, f"  {why}".rstrip())


# --- answers ---------------------------------------------------------------------------------------------------------


def _answers(played: Play, question: Question) -> Iterator[Rule | Table | Text]:
    at = question.at
    for customer_id in [question.customer_id] if question.customer_id is not None else list(played.customers):
        yield Rule(Text(f"{customer_id} at {_when(at)}"), align="left")
        for shown in question.show:
            match shown:
                case "seats":
                    yield _seats(played.ledger, customer_id, at)
                case "balances":
                    yield _balances(played.ledger.balances(customer_id, at))
                case "entries":
                    yield _entries(played.ledger.entries(customer_id, at))
                case "charges":
                    yield _charges(played.ledger.charges(customer_id, at))


def _seats(ledger: Ledger, customer_id: str, at: Instant) -> Table | Text:
    rows = [
        (contract_id, counts, ledger.holders(customer_id, contract_id, counts.subscription_id, at))
        for contract_id in ledger.contracts(customer_id)
        for counts in ledger.counts(customer_id, contract_id, at)
    ]
    if not rows:
        return Text("no seats", style="dim")
    table = _table("seats", ("contract", "subscription"), ("seats", "assigned", "free", "included", "extra", "paid"))
    table.add_column("held by")
    for contract_id, counts, holders in rows:
        table.add_row(contract_id, counts.subscription_id, *map(str, _numbers(counts)), _several(holders))
    return table


def _numbers(counts: Counts) -> tuple[int, ...]:
    return (counts.total, counts.assigned, counts.unassigned, counts.included, counts.extra, counts.paid)


def _balances(balances: list[Balance]) -> Table | Text:
    if not balances:
        return Text("no balances", style="dim")
    table = _table("balances", ("contract", "whose"), ("balance", "granted", "overage"))
    table.add_column("grants, in the order in which they burn")
    for balance in balances:
        unit = "" if balance.scope.credit_type == CREDITS else f" {balance.scope.credit_type}"
        table.add_row(
            balance.scope.contract_id or "",
            _whose(balance.scope),
            amounts.text(balance.balance) + unit,
            amounts.text(balance.granted),
            amounts.text(balance.overage),
            "\n".join(map(_grant, balance.grants)),
        )
    return table


def _grant(grant: GrantBalance) -> str:
    until = "" if answers.instant(grant.expires_at) is None else f" until {_when(grant.expires_at)}"
    return (
        f"{_slice(grant.grant_id, grant.slice)}: {amounts.text(grant.balance)} of {amounts.text(grant.granted)}{until}"
    )


def _entries(entries: list[Entry]) -> Table | Text:
    if not entries:
        return Text("no entries", style="dim")
    table = _table("entries", ("time", "whose", "what"), ("amount", "beside", "balance"))
    table.add_column("grant")
    table.add_column("cause")
    for entry in entries:
        table.add_row(
            _when(entry.time),
            _whose(entry.scope),
            entry.type,
            amounts.text(entry.amount),
            amounts.text(entry.beside) if entry.beside else "",
            amounts.text(entry.balance_after),
            _slice(entry.grant_id, entry.slice) if entry.grant_id is not None else "",
            f"{entry.cause_type} {entry.cause_id}",
        )
    return table


def _charges(charges: list[Charge]) -> Table | Text:
    if not charges:
        return Text("no charges", style="dim")
    table = _table("charges", ("time", "subscription", "kind"), ("seats", "of the period", "amount"))
    for charge in charges:
        price = "" if charge.unit_price is None else f" {charge.unit_price.currency}"
        table.add_row(
            _when(charge.time),
            charge.subscription_id,
            charge.kind,
            str(charge.seats),
            answers.charge(charge)["fraction"],
            "" if charge.amount is None else amounts.text(charge.amount) + price,
        )
    return table


def _table(title: str, names: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _whose(scope: Scope) -> str:
    if scope.seat_id is not None:
        return scope.seat_id
    return "pool" if scope.contract_id is not None else "the customer's pool"


def _when(at: Instant) -> str:
    """In UTC, as short as it goes: the day alone where that is all."""
    return instants.text(at).replace("T00:00:00Z", "").replace("T", " ").removesuffix(":00Z").removesuffix("Z")


def _slice(grant_id: str, slice: int | None) -> str:
    return grant_id if slice is None else f"{grant_id} #{slice}"


def _several(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")

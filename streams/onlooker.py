"""What an onlooker of the output topics has seen: the last word on each account, and what was worth a line."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from rich.text import Text

from streams.company import Customer, Said

POOL: Final = "the pool"
#: News that is kept; a screen shows the last of it.
NEWS_KEPT: Final = 40
#: Balances leave by the dozen a second; so often one of them is worth a line.
BALANCE_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of what a scope was given, and what it took beyond."""

    left: Decimal
    granted: Decimal
    overage: Decimal


@dataclass
class Account:
    """What the snapshots said of a customer."""

    plan: str
    quantity: int = 0
    unassigned: int = 0
    #: By scope and credit type.
    scopes: dict[tuple[str, str], Left] = field(default_factory=dict)
    #: Seats that were taken away. What they were given is theirs until it ends, but nobody sits there.
    gone: set[str] = field(default_factory=set)

    def balance(self) -> tuple[Decimal, Decimal]:
        """All that is left, and what it is left of."""
        return (
            sum((scope.left for scope in self.scopes.values()), Decimal(0)),
            sum((scope.granted for scope in self.scopes.values()), Decimal(0)),
        )

    def poorest(self, count: int) -> list[tuple[str, Left]]:
        """The seats of their own credits that have the least left."""
        seats = [
            (name, scope)
            for (name, _), scope in self.scopes.items()
            if name != POOL and scope.granted and name not in self.gone
        ]
        return sorted(seats, key=lambda seat: (seat[1].left - seat[1].overage, seat[0]))[:count]


class Seen:
    """Everything that is shown."""

    def __init__(self, customers: Iterable[Customer]) -> None:
        self.accounts = {one.customer_id: Account(one.plan) for one in customers}
        self.news: deque[Text] = deque(maxlen=NEWS_KEPT)
        #: News that no line was printed for yet, where there is no screen.
        self.unprinted: deque[Text] = deque(maxlen=1_000)
        self.sent = self.folded = self.there = self.snapshots = self.corrections = self.refusals = self.alerts = 0
        self._begun = time.monotonic()
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=12)
        self._balance_said = 0.0

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def lag(self) -> int:
        return max(0, self.there - self.folded)

    def per_second(self) -> tuple[float, float]:
        """Sent and folded, over the last few seconds."""
        if len(self._marks) < 2:
            return 0.0, 0.0
        (then, sent, folded), (now, sent_now, folded_now) = self._marks[0], self._marks[-1]
        return (sent_now - sent) / (now - then), (folded_now - folded) / (now - then)

    def summary(self) -> str:
        return (
            f"{self.sent:,} events in {self.passed_s:.0f} s; {self.snapshots:,} snapshots left, {self.corrections:,} of them"
            f" corrections, {self.alerts:,} alerts, and {self.refusals:,} refusals."
        )

    # --- what is seen -------------------------------------------------------------------------------------------------

    def told(self, said: Said) -> None:
        """An event went in."""
        self.sent += 1
        if said.note:
            self._say("in", "dim", said.key, said.note)

    def measured(self, folded: int, there: int) -> None:
        self.folded, self.there = folded, there
        self._marks.append((time.monotonic(), self.sent, folded))

    def refused(self, key: bytes | None, why: Mapping[str, bytes]) -> None:
        """A dead letter left."""
        self.refusals += 1
        code, field, message = (why.get(f"seatstream.{name}", b"").decode() for name in ("code", "field", "message"))
        what = message if message.startswith(field) else f"{field} {message}"
        self._say("refused", "red", (key or b"").decode(errors="replace"), f"{code}: {what}")

    def alerted(self, said: Mapping[str, Any]) -> None:
        """An alert left."""
        self.alerts += 1
        what, style = ("alarm", "bold red") if said["state"] == "in_alarm" else (said["state"], "bold green")
        unit = "%" if said["metric"] == "balance_percent" else ""
        value = "nothing to compare" if said["value"] is None else f"{Decimal(said['value']):,.2f}{unit}"
        level = f"{Decimal(said['level']):,}{unit}"
        self._say(what, style, said["customer_id"], f"{said.get('seat_id', POOL)}: {value}, the level is {level}")

    def published(self, said: Mapping[str, Any]) -> None:
        """A snapshot left."""
        self.snapshots += 1
        match said["type"]:
            case "balance.snapshot" | "balance.corrected":
                self._balance(said)
            case "seats.changed" | "seats.corrected":
                self._seats(said)
            case "seats.charged":
                text = f"{_seats(said['seats'])} beyond the included ones for {_share(said['fraction'])}{_amount(said)}"
                self._say("charged", "magenta", said["customer_id"], text)
            case "charge.corrected":
                self.corrections += 1
                was = said["previous"]
                text = (
                    f"{_seats(was['seats'])}{_amount(was)} had been charged, now {_seats(said['seats'])}{_amount(said)}"
                )
                self._say("corrected", "yellow", said["customer_id"], text)

    def _balance(self, said: Mapping[str, Any]) -> None:
        scope = said["scope"].get("seat_id", POOL)
        account = self.accounts[said["customer_id"]]
        left, granted = Decimal(said["balance"]), Decimal(said["granted"])
        if said["part"] == 1:
            account.scopes[scope, said["credit_type"]] = Left(left, granted, Decimal(said["overage"]))
        if said["type"] == "balance.corrected":
            self.corrections += 1
            was = Decimal(said["previous"]["balance"])
            self._say("corrected", "yellow", said["customer_id"], f"{scope} had {left:,.2f}, not {was:,.2f}, left")
        elif expired := Decimal(said["expired"]):
            self._say("ended", "cyan", said["customer_id"], f"{scope}: {expired:,.2f} credits ended unused")
        elif self.passed_s - self._balance_said >= BALANCE_EVERY_S:
            self._balance_said = self.passed_s
            self._say("balance", "green", said["customer_id"], f"{scope}: {left:,.2f} left of {granted:,.2f}")

    def _seats(self, said: Mapping[str, Any]) -> None:
        account = self.accounts[said["customer_id"]]
        account.quantity, account.unassigned = said["quantity"], said["unassigned"]
        account.gone = (account.gone | set(said["removed"])) - set(said["added"])
        moved = [f"+{seat}" for seat in said["added"]] + [f"-{seat}" for seat in said["removed"]]
        names = " ".join(moved[:2]) + (f" and {len(moved) - 2} more" if len(moved) > 2 else "")
        was, now = said["previous_quantity"], said["quantity"]
        text = f"{now} seats, {said['unassigned']} of them free" if was == now else f"{was} -> {now} seats"
        self._say(said["type"].partition(".")[2], "blue", said["customer_id"], f"{text}  {names}".rstrip())

    def _say(self, what: str, style: str, who: str, text: str) -> None:
        line = Text.assemble(
            (f"{self.passed_s:6.1f} s  ", "dim"), (f"{what:<10}", style), (f"{who:<14}", "bold"), f" {text}"
        )
        line.no_wrap, line.overflow = True, "ellipsis"
        self.news.append(line)
        self.unprinted.append(line)


def _seats(number: int) -> str:
    return f"{number} {'seat' if number == 1 else 'seats'}"


def _amount(charge: Mapping[str, Any]) -> str:
    return f": {charge['amount']} {charge['unit_price']['currency']}" if "amount" in charge else ""


def _share(fraction: str) -> str:
    return "the whole month" if fraction == "1" else f"{float(Fraction(fraction)):.1%} of the month"

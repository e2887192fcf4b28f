"""How `seatstream demo` looks: a screen that fits its terminal, or plain lines where there is none."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.onlooker import Left, Seen

#: From so many columns on there is room for everything.
WIDE: Final = 100
SEATS_MOST: Final = 6
NEWS_MOST: Final = 18


def screen(seen: Seen, width: int, height: int) -> RenderableType:
    """All of it, in at most so many lines, as long as there are a dozen."""
    status = _status(seen, width >= WIDE)
    # The status and its frame, the customers and their heading, and the line where the cursor waits.
    room = height - (len(status) + 2) - (len(seen.accounts) + 1) - 1
    seats = min(SEATS_MOST, max(0, (room - 8) // 3))
    news = min(NEWS_MOST, max(3, room - 2 - (seats + 2 if seats else 0)))
    return Group(
        Panel(Group(*map(_cut, status)), title="SeatStream", subtitle="Ctrl-C ends it", border_style="bold"),
        _customers(seen, width),
        *([_seats(seen, seats)] if seats else []),
        _news(seen, news),
    )


def plain(seen: Seen) -> Iterator[str]:
    """What is new since the last time, line by line."""
    while seen.unprinted:
        yield seen.unprinted.popleft().plain
    yield "  ".join(line.plain.strip() for line in _status(seen, wide=True))
    for customer_id, account in seen.accounts.items():
        left, granted = account.balance()
        yield f"    {customer_id:<15} {account.quantity:>4} seats {left:>12,.2f} left of {granted:,.2f}"


def _status(seen: Seen, wide: bool) -> list[Text]:
    if not seen.folded:
        return [Text(f"{seen.passed_s:5.1f} s   the worker is starting, {seen.sent:,} events wait for it")]
    sent, folded = seen.per_second()
    moving = (
        f"{seen.passed_s:5.1f} s   {seen.sent:,} events in, {sent:,.0f}/s   folded {folded:,.0f}/s, {seen.lag:,} behind"
    )
    snapshots = f"{seen.snapshots:,} snapshots   {seen.corrections:,} corrections"
    leaving = f"{snapshots}   {seen.alerts:,} alerts   {seen.refusals:,} refused"
    return [Text(f"{moving}   {leaving}")] if wide else [Text(moving), Text(f"          {leaving}")]


def _cut(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _customers(seen: Seen, width: int) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1))
    table.add_column("customer", no_wrap=True)
    if width >= WIDE:
        table.add_column("plan", no_wrap=True)
    for name in ("seats", "free", "credits left", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    for customer_id, account in seen.accounts.items():
        left, granted = account.balance()
        plan = [Text(account.plan, "dim")] if width >= WIDE else []
        table.add_row(
            Text(customer_id, "bold"), *plan, str(account.quantity), str(account.unassigned), f"{left:,.2f}",
            Text(f"{granted:,.0f}", "dim"), _bar(left, granted),
        )  # fmt: skip
    return table


def _seats(seen: Seen, count: int) -> Panel:
    """Side by side, of each customer whose seats have credits of their own, those that have the least left."""
    side_by_side = Table.grid(expand=True, padding=(0, 2))
    columns: list[RenderableType] = []
    for account in seen.accounts.values():
        poorest = account.poorest(count)
        if poorest:
            side_by_side.add_column(ratio=1)
            columns.append(_poorest(poorest, count))
    side_by_side.add_row(*(columns or ["\n" * (count - 1)]))
    return Panel(side_by_side, title="seats with the least left", title_align="left")


def _poorest(seats: list[tuple[str, Left]], count: int) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(ratio=2)
    for name, of in seats:
        amount = Text(f"{of.overage:,.2f} over", "red") if of.overage else Text(f"{of.left:,.2f}")
        table.add_row(name, amount, _bar(of.left, of.granted))
    for _ in range(count - len(seats)):
        table.add_row("", "", "")
    return table


def _news(seen: Seen, count: int) -> Panel:
    shown = list(seen.news)[-count:]
    blank = [Text("")] * (count - len(shown))
    return Panel(Group(*shown, *blank), title="what goes in now and then, and what leaves", title_align="left")


def _bar(left: Decimal, granted: Decimal) -> ProgressBar:
    style = "green" if left * 2 > granted else "yellow" if left * 5 > granted else "red"
    return ProgressBar(
        total=float(granted) or 1.0, completed=float(left), complete_style=style, finished_style=style, style="grey23"
    )

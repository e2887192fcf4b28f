"""A balance over time as SVG, drawn here: steps, the ends and beginnings of grants, and where now is. No script, no style."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from ledger import amounts, instants
from ledger.answers import GrantBalance
from ledger.instants import DAY, Instant
from web.watched import Line

WIDTH: Final = 800
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 22, 26
#: Of more events than that, the lines would hide the curve.
MOST_EVENTS: Final = 12


class Point(NamedTuple):
    """What a curve goes through."""

    time: Instant
    balance: int
    granted: int


def balance_chart(
    points: Sequence[Point], grants: Sequence[GrantBalance], now: Instant, levels: Sequence[Line] = ()
) -> Markup:
    """The curve through these points; each grant's start and end within them; and the levels of which somebody is warned."""
    if len(points) < 2:
        return Markup("")
    since, until = points[0].time, points[-1].time
    top = max(1, *(point.balance for point in points))

    def x(at: Instant) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (at - since) / (until - since), 1)

    def y(balance: int) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - balance / top), 1)

    def stairs(heights: Sequence[int]) -> str:
        places = zip(points[1:], heights[1:], strict=True)
        return f"M{x(since)},{y(heights[0])}" + "".join(f"H{x(point.time)}V{y(height)}" for point, height in places)

    curve = stairs([point.balance for point in points])
    floor = HEIGHT - _BOTTOM
    drawn = [
        Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(_LEFT, WIDTH - _RIGHT, height)
        for height in (y(top), y(top // 2), floor)
    ]
    drawn.append(Markup('<path class="under" d="{}V{}H{}Z"/>').format(curve, floor, x(since)))
    drawn.append(Markup('<path class="curve" d="{}"/>').format(curve))
    shown = [(line, heights) for line in levels if max(heights := _heights(line, points)) <= top]
    for line, heights in shown:
        drawn.append(Markup('<path class="level" d="{}"><title>{}</title></path>').format(stairs(heights), line.said))
        drawn.append(_text(WIDTH - _RIGHT, y(heights[-1]) - 4, "end", line.said))
    for at, said in events(grants, since, until):
        drawn.append(
            Markup('<line class="event" x1="{0}" x2="{0}" y1="{1}" y2="{2}"><title>{3}</title></line>').format(
                x(at), _TOP, floor, said
            )
        )
    if since < now < until:
        drawn.append(Markup('<line class="now" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x(now), _TOP, floor))
    drawn += _labels(top, since, until, y(top))
    said = f"Balance from {_day(since)} to {_day(until)}: {amounts.text(points[0].balance)} at first, "
    said += f"{amounts.text(points[-1].balance)} at last, {amounts.text(top)} at most."
    if levels:
        said += f" Somebody is warned at: {'; '.join(line.said for line in levels)}."
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, said, Markup("").join(drawn)
    )


def events(grants: Sequence[GrantBalance], since: Instant, until: Instant) -> list[tuple[Instant, str]]:
    """What is drawn into a curve beside it: where grants begin and end."""
    found = [(grant.effective_at, f"{grant.grant_id} begins") for grant in grants]
    found += [(grant.expires_at, f"{grant.grant_id} ends") for grant in grants]
    return sorted((at, said) for at, said in found if since < at < until)[:MOST_EVENTS]


def share(balance: str, granted: str) -> str:
    """What is left of what was given, in percent, as an SVG length."""
    given = amounts.parse(granted)
    return f"{max(0, min(1000, amounts.parse(balance) * 1000 // given)) / 10:g}" if given > 0 else "0"


def _heights(line: Line, points: Sequence[Point]) -> list[int]:
    """How high a level lies at each point, in credits."""
    if not line.is_percent:
        return [line.level] * len(points)
    return [point.granted * line.level // (100 * amounts.UNIT) for point in points]


def _labels(top: int, since: Instant, until: Instant, height: float) -> list[Markup]:
    return [
        _text(_LEFT, height - 6, "start", amounts.text(top)),
        _text(_LEFT, HEIGHT - 8, "start", _day(since)),
        _text(WIDTH - _RIGHT, HEIGHT - 8, "end", _day(until)),
    ]


def _text(x: float, y: float, anchor: str, said: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, round(y, 1), anchor, said)


def _day(at: Instant) -> str:
    return instants.text(at // DAY * DAY)[:10]

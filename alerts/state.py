"""The state machine: where a value stood to a level over event time, which crossings that makes, and what is said of them.

Nothing here is a running state. A level keeps its *turns*: the instants at which its value came to stand elsewhere. What is
known of the past may change, so a look begins by forgetting the turns from some instant on and following the value
anew. Crossings follow from turns, what is said from crossings, and a message is what is said now and was not said before.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

import msgspec

from alerts.rules import Measure, Subject, Zone, zone_of
from ledger.amounts import Amount
from ledger.instants import FOREVER, ORIGIN, Instant
from ledger.row import Row
from wire.outputs import AlertState
from wire.rules import USED, Rule

#: So many turns of a level may be looked at again; what reaches further back is followed from there.
TURNS_MOST = 256

State = Literal["evaluating", "ok", "in_alarm"]


class Turn(Row):
    """The value came to stand in another zone, because of something that has a type and an id."""

    at: Instant
    zone: int
    value: str | None
    cause_type: str
    cause_id: str


class Level(Row):
    """The turns of one level since the rule's version began, or since those before `turns[0]` were let go; `quiet_until`:
    when the silence ended, or ends, that was kept after what was said before `turns[0]`."""

    level: Amount
    turns: list[Turn] = []
    cut: bool = False
    quiet_until: Instant = ORIGIN


class Watched(NamedTuple):
    """A subject under one version of a rule, which began at `since`."""

    rule: Rule
    version: int
    since: Instant
    subject: Subject

    def alert_id(self, level: Amount, armed: Turn | None) -> str:
        """Of the crossing that follows what armed it; None: the rule's creation (L18)."""
        by = None if armed is None else (armed.at, armed.cause_type, armed.cause_id)
        made_of = (self.rule.rule_id, self.version, self.subject, str(level), by)
        return blake2b(msgspec.msgpack.encode(made_of), digest_size=16).hexdigest()


class Blame(Protocol):
    """What is to blame (a type and an id) for a value that came to stand lower, or higher."""

    @property
    def fell(self) -> tuple[str, str]: ...
    @property
    def rose(self) -> tuple[str, str]: ...


class Point(NamedTuple):
    """What a rule compares at an instant."""

    at: Instant
    value: Measure | None
    blame: Blame


class Said(NamedTuple):
    """A crossing that is said: by what turn it began, and ended, if it did. `silent`: it was there when the rule began, and
    nobody wanted to know."""

    alert_id: str
    level: Amount
    began: Turn
    ended: Turn | None
    silent: bool = False


class Message(NamedTuple):
    """What is to be said now."""

    alert_id: str
    level: Amount
    state: AlertState
    turn: Turn
    late: bool = False


# --- turns -----------------------------------------------------------------------------------------------------------


def follow(watched: Watched, level: Level, since: Instant, points: Iterable[Point]) -> Level:
    """The level after its value was followed anew through `points`, the first of which is how it stood at `since`."""
    turns = [turn for turn in level.turns if turn.at < since]
    if level.cut and not turns:
        turns = level.turns[:1]  # further back nobody looks
        since = turns[0].at + 1
    rule = watched.rule
    zone, alarmed = _stands(turns)
    fell_is_alarm = rule.metric not in USED
    for point in points:
        if point.at < since:
            continue
        now = zone_of(rule, level.level, point.value)
        # While it is in alarm, nothing but a re-arming matters.
        if now == zone or (alarmed and now != Zone.CLEAR):
            continue
        cause = point.blame.fell if (now > zone) == fell_is_alarm else point.blame.rose
        if cause[0] == "time" and point.at == watched.since:
            cause = "alert-rule", rule.rule_id
        value = None if point.value is None else str(point.value)
        turns.append(Turn(point.at, int(now), value, *cause))
        zone = now
        alarmed = now == Zone.ALARM
    return Level(level.level, turns, level.cut, level.quiet_until)


def _stands(turns: list[Turn]) -> tuple[Zone, bool]:
    """In which zone a value stands after its turns, and whether that is an alarm. Before all turns it is clear."""
    zone = Zone(turns[-1].zone) if turns else Zone.CLEAR
    return zone, zone == Zone.ALARM


def shortened(watched: Watched, level: Level, horizon: Instant) -> Level:
    """The level without the turns that nobody looks at again: no fact reaches behind the horizon. It begins with what armed it
    then, at an instant when all was said."""
    turns = level.turns
    keep_from = 0
    for place in range(1, len(turns)):
        following = turns[place + 1].at if place + 1 < len(turns) else FOREVER
        old = following <= horizon or len(turns) - place > TURNS_MOST
        if old and turns[place].zone == Zone.CLEAR:
            keep_from = place
    if not keep_from:
        return level
    before = Level(level.level, turns[: keep_from + 1], level.cut, level.quiet_until)
    said, _, quiet_until = spoken(watched, before, turns[keep_from].at)
    if said and said[-1].ended is None:
        return level  # that it ended is still held back
    return Level(level.level, turns[keep_from:], True, quiet_until)


# --- crossings, and what is said of them -----------------------------------------------------------------------------


def crossings(watched: Watched, level: Level) -> Iterator[tuple[str | None, Turn]]:
    """Each crossing by its id, with the turn that made it; None where a crossing ended."""
    armed: Turn | None = None
    alarmed = False
    for turn in level.turns:
        if turn.zone == Zone.CLEAR:
            if alarmed:
                yield None, turn
            armed, alarmed = turn, False
        elif turn.zone == Zone.ALARM:
            yield watched.alert_id(level.level, armed), turn
            alarmed = True


def spoken(watched: Watched, level: Level, now: Instant) -> tuple[list[Said], Instant, Instant]:
    """What has been said of a level by now; when something that is held back will be said; and until when it is quiet.

    After anything was said, nothing is for `min_interval`; then what is true is said, if that is another thing than what was
    said last."""
    rule = watched.rule
    said: list[Said] = []
    quiet_until = level.quiet_until
    held: tuple[str | None, Turn] | None = None

    def speak(alert_id: str | None, turn: Turn, at: Instant) -> None:
        nonlocal quiet_until
        is_open = bool(said) and said[-1].ended is None
        if alert_id is not None and not is_open:
            silent = not rule.evaluate_on_create and turn is level.turns[0] and turn.at == watched.since
            said.append(Said(alert_id, level.level, turn, None, silent))
            quiet_until = quiet_until if silent else at + rule.min_interval
        elif alert_id is None and is_open:
            last = said[-1]
            said[-1] = last._replace(ended=turn)
            if rule.notify_resolved and not last.silent:
                quiet_until = at + rule.min_interval

    for alert_id, turn in crossings(watched, level):
        if held is not None and quiet_until < turn.at:
            speak(*held, quiet_until)
            held = None
        unheard = alert_id is None and (not rule.notify_resolved or (bool(said) and said[-1].silent))
        if turn.at >= quiet_until or unheard:
            speak(alert_id, turn, turn.at)
            held = None
        else:
            held = alert_id, turn
    if held is not None and quiet_until <= now:
        speak(*held, quiet_until)
        held = None
    changes = held is not None and (held[0] is None) == (bool(said) and said[-1].ended is None)
    return said, (quiet_until if changes else FOREVER), quiet_until


def state_of(watched: Watched, level: Level) -> tuple[State, str | None, Turn | None]:
    """*ok* or *in_alarm*, the id of the crossing, and the turn since which it is so."""
    last: tuple[str | None, Turn] | None = None
    for last in crossings(watched, level):  # noqa: B007
        pass
    if last is None:
        return "ok", None, None
    alert_id, turn = last
    return ("ok" if alert_id is None else "in_alarm"), alert_id, turn


# --- messages --------------------------------------------------------------------------------------------------------


def news(
    watched: Watched, before: list[Said], after: list[Said], known: Iterable[Turn], late_before: Instant
) -> Iterator[Message]:
    """What is to be said, where `before` was said and `after` is true: first what is taken back. A crossing is late if it lies
    before something that was said already, or before `late_before` and was not `known`."""
    rule = watched.rule
    was = {one.alert_id: one for one in before if not one.silent}
    true = {one.alert_id: one for one in after if not one.silent}
    turns = {turn.at for turn in known}
    last_said = max((one.ended.at if one.ended else one.began.at for one in was.values()), default=ORIGIN)
    for alert_id, one in was.items():
        if alert_id not in true:
            yield Message(alert_id, one.level, "retracted", one.began)
    for alert_id, one in true.items():
        old = was.get(alert_id)
        if old is None:
            late = one.began.at < last_said or (one.began.at < late_before and one.began.at not in turns)
            yield Message(alert_id, one.level, "in_alarm", one.began, late)
        elif old.ended is not None and one.ended is None and rule.notify_resolved:
            yield Message(alert_id, one.level, "in_alarm", one.began, True)
        if one.ended is not None and (old is None or old.ended is None) and rule.notify_resolved:
            yield Message(alert_id, one.level, "resolved", one.ended)


def in_order(watched: Watched, of_levels: Iterable[Iterable[Message]]) -> list[Message]:
    """What is taken back, then what happened: by instant, and within one step level by level, as the value passed them."""
    down = watched.rule.metric not in USED
    placed: list[tuple[bool, Instant, int, Amount, Message]] = []
    for messages in of_levels:
        before: Message | None = None
        nth = 0  # of one level at one instant, in the order in which it came to pass
        for message in messages:
            nth = nth + 1 if before is not None and before.turn.at == message.turn.at else 0
            falls = down == (message.state == "in_alarm")
            rank = -message.level if falls else message.level
            placed.append((message.state != "retracted", message.turn.at, nth, rank, message))
            before = message
    return [each[-1] for each in sorted(placed, key=lambda each: each[:4])]

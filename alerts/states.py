"""How things stand now, and how they stood: the state of every rule for every subject of a customer, and each crossing that is
known, so that nobody depends on having heard."""

from collections.abc import Iterator

from alerts.at_hand import Held, Memory
from alerts.curve import Curve
from alerts.rows import STATE, WORK, WORK_PREFIX, StateRow, state_key, states_prefix
from alerts.rules import Subject, gauge_of, measure
from alerts.state import Level, State, Turn, Watched, crossings, state_of
from alerts.steps import Steps
from ledger.amounts import Amount
from ledger.facts import Value
from ledger.instants import FOREVER, Instant
from ledger.rows import Breathe, Rows, after, nobody_waits
from wire.rules import USED, Rule


class Standing(Value, kw_only=True, frozen=True):
    """A rule and a subject. Of several levels in alarm, the one that the value passed last; `since` its state is so."""

    rule: Rule
    subject: Subject
    state: State
    level: Amount | None
    value: str | None
    since: Instant
    alert_id: str | None


class Crossed(Value, kw_only=True, frozen=True):
    """A level was crossed; `value` is what was compared then. `until`: when it was resolved, FOREVER where it was not."""

    rule: Rule
    subject: Subject
    level: Amount
    alert_id: str
    value: str | None
    since: Instant
    until: Instant


class States(Steps):
    """Answers over rows that it leaves as they are."""

    def __init__(self, rows: Rows, breathe: Breathe = nobody_waits) -> None:
        super().__init__(rows, Memory(), breathe, 0, 0)
        self._curve = Curve(rows, breathe)

    def of(self, customer_id: str, behind: tuple[str, Subject] | None = None) -> Iterator[Standing]:
        """Rule by rule, subject by subject, in one order; those behind a rule's subject that was answered before."""
        works = self._book.scan(WORK, WORK_PREFIX, after(WORK_PREFIX))
        self._applying = {work.rule_id for _, work in works if work.ends is None and work.rule_id is not None}
        now = self._now(customer_id)
        for held in sorted(self._meet(customer_id).held, key=lambda one: one.rule.rule_id):
            rule = held.rule
            last = None
            if behind is not None:
                if rule.rule_id < behind[0]:
                    continue
                last = behind[1] if rule.rule_id == behind[0] else None
            for subject in self._subjects(rule, customer_id, last):
                watched = Watched(rule, held.version, held.since, subject)
                yield self._standing(watched, now)

    def rules(self, customer_id: str) -> tuple[Held, ...]:
        """The rules that may concern a customer, each since it says what it says."""
        return self._meet(customer_id).held

    def crossed(self, customer_id: str, seat: Subject | None = None) -> Iterator[list[Crossed]]:
        """The crossings of each subject where anything ever happened, or of one seat alone. They are known as far back as a fact
        may reach, and since the rule says what it says; what was said before is on `threshold-alert`."""
        for held in self.rules(customer_id):
            for row in self._rows_of(held, customer_id, seat):
                watched = Watched(held.rule, held.version, held.since, row.subject.subject())
                yield [crossed for level in row.levels for crossed in _crossed(watched, level)]

    def _rows_of(self, held: Held, customer_id: str, seat: Subject | None) -> Iterator[StateRow]:
        rule_id, version = held.rule.rule_id, held.version
        if seat is not None:
            row = self._book.load(STATE, state_key(rule_id, version, seat)) if held.rule.scope == "seat" else None
            if row is not None:
                yield row
            return
        prefix = states_prefix(rule_id, version, customer_id)
        for _, row in self._book.scan_lazily(STATE, prefix, after(prefix)):
            yield row

    def _standing(self, watched: Watched, now: Instant) -> Standing:
        rule, subject = watched.rule, watched.subject
        row = self._book.load(STATE, state_key(rule.rule_id, watched.version, subject))
        look = self._curve.looks(gauge_of(rule, subject), now, now)[-1]
        value = measure(rule, look.reading, now)
        levels = [Level(level) for level in rule.levels] if row is None else row.levels
        # The last that a falling value passes is the lowest one.
        levels = sorted(levels, key=lambda level: level.level, reverse=rule.metric in USED)
        states = [(level, *state_of(watched, level)) for level in levels]
        alarmed = next((each for each in states if each[1] == "in_alarm"), None)
        turns = [turn.at for _, _, _, turn in states if turn is not None]
        state: State
        if alarmed is not None:
            level, _, alert_id, turn = alarmed
            assert turn is not None
            state, at, since = "in_alarm", level.level, turn.at
        else:
            alert_id, at, since = None, None, max(turns, default=watched.since)
            state = "evaluating" if row is None and rule.rule_id in self._applying else "ok"
        return Standing(
            rule=rule, subject=subject, state=state, level=at, value=None if value is None else str(value), since=since,
            alert_id=alert_id,
        )  # fmt: skip


def _crossed(watched: Watched, level: Level) -> Iterator[Crossed]:
    begun: tuple[str, Turn] | None = None
    for alert_id, turn in crossings(watched, level):
        if alert_id is not None:
            begun = alert_id, turn
        elif begun is not None:
            yield _crossing(watched, level, *begun, turn.at)
            begun = None
    if begun is not None:
        yield _crossing(watched, level, *begun, FOREVER)


def _crossing(watched: Watched, level: Level, alert_id: str, turn: Turn, until: Instant) -> Crossed:
    return Crossed(
        rule=watched.rule, subject=watched.subject, level=level.level, alert_id=alert_id, value=turn.value, since=turn.at,
        until=until,
    )  # fmt: skip

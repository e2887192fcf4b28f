"""How things stand with the rules that watch a customer, and how they stood: nobody has to have heard the alert."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from alerts.rules import Subject as Watched
from alerts.rules import watches
from alerts.states import Crossed, Standing, States
from ledger import amounts
from ledger.facts import SEAT_ID
from ledger.instants import FOREVER, Instant
from ledger.outcome import Scope
from web import cursors
from web.asked import Alerts
from web.cluster import Plain, View
from web.subject import Subject, page
from wire import answers

#: So many subjects are looked at for a page of the view, and so many alarms shown.
MOST_SUBJECTS: Final = 5_000
MOST_SHOWN: Final = 50
#: What a level is measured in, for people.
UNITS: Final = {
    "balance": "credits", "balance_percent": "%", "days_to_expiry": "days", "time_to_empty": "hours",
    "seats_used_percent": "% of seats", "seats_over": "seats over",
}  # fmt: skip


class AlertPlace(NamedTuple):
    """A rule, and whom it watches."""

    rule_id: str
    subject: Watched


def alerts(view: View, customer_id: str, asked: Alerts) -> Plain:
    """The state of every rule for every subject, by rule."""
    Subject(view, customer_id)
    behind = None if asked.cursor is None else cursors.read("alerts", asked.cursor, AlertPlace)
    standings = States(view.rows, view.breathe).of(customer_id, behind)
    found = ((AlertPlace(one.rule.rule_id, one.subject), one) for one in standings)

    def plain(_: AlertPlace, one: Standing) -> Plain | None:
        wanted = (
            asked.rule_id in (None, one.rule.rule_id)
            and asked.contract_id in (None, one.subject.contract_id)
            and asked.seat_id in (None, one.subject.seat_id)
            and asked.state in (None, one.state)
        )
        return _row(one) if wanted else None

    return page("alerts", found, asked.limit, plain)


def _row(one: Standing) -> Plain:
    rule = one.rule
    return {
        "rule_id": rule.rule_id,
        "name": rule.name,
        "metric": rule.metric,
        "scope": rule.scope,
        "subject": _subject(one.subject),
        "state": one.state,
        "level": None if one.level is None else amounts.text(one.level),
        "value": one.value,
        "since": answers.instant(one.since),
        "alert_id": one.alert_id,
    }


def _subject(of: Watched) -> Plain:
    """Only what names it; the customer is in the path."""
    named: Plain = {
        name: value
        for name in ("contract_id", "subscription_id", "seat_id")
        if (value := getattr(of, name)) is not None
    }
    if of.seat_id is not None and of.seat_group_key != SEAT_ID:
        named["seat_group_key"] = of.seat_group_key
    return named


# --- for the view ----------------------------------------------------------------------------------------------------


def alarms(view: View, customer_id: str, at: Instant, seat: Watched | None = None) -> Plain:
    """Who was in alarm at an instant, and whose alarm was over by then; the newest first. Of a customer, or of one seat."""
    looks = States(view.rows, view.breathe).crossed(customer_id, seat)
    found = [crossed for of_one in islice(looks, MOST_SUBJECTS) for crossed in of_one if crossed.since <= at]
    found.sort(key=lambda crossed: (-crossed.since, crossed.rule.rule_id, crossed.level, crossed.alert_id))
    then = [crossed for crossed in found if crossed.until > at]
    over = [crossed for crossed in found if crossed.until <= at]
    return {
        "alarms": [_alarm(crossed) for crossed in then[:MOST_SHOWN]],
        "alarms_count": len(then),
        "alarms_over": [_alarm(crossed) for crossed in over[:MOST_SHOWN]],
        "alarms_over_count": len(over),
        "alarms_cut": next(looks, None) is not None,
    }


def _alarm(crossed: Crossed) -> Plain:
    rule = crossed.rule
    return {
        "name": rule.name,
        "rule_id": rule.rule_id,
        "scope": rule.scope,
        "subject": _subject(crossed.subject),
        "metric": rule.metric,
        "level": amounts.text(crossed.level),
        "unit": UNITS[rule.metric],
        "value": crossed.value,
        "since": answers.instant(crossed.since),
        "until": None if crossed.until == FOREVER else answers.instant(crossed.until),
    }


class Line(NamedTuple):
    """A level of a rule about what a seat has left: so many credits, or so many percent of what it was given."""

    said: str
    level: int
    is_percent: bool


def lines(view: View, customer_id: str, scope: Scope) -> Iterator[Line]:
    """The levels that belong into a seat's curve, as the rules are now."""
    seat = seat_watched(scope)
    for held in States(view.rows, view.breathe).rules(customer_id):
        rule = held.rule
        if rule.scope == "seat" and rule.credit_type == scope.credit_type and rule.kind is None and watches(rule, seat):
            for level in rule.levels if rule.metric in ("balance", "balance_percent") else ():
                is_percent = rule.metric == "balance_percent"
                yield Line(f"{rule.name}: {amounts.text(level)}{' %' if is_percent else ''}", level, is_percent)


def seat_watched(scope: Scope) -> Watched:
    return Watched(
        customer_id=scope.customer_id,
        contract_id=scope.contract_id,
        seat_id=scope.seat_id,
        seat_group_key=scope.seat_group_key,
    )


def rules_now(view: View, customer_id: str) -> list[tuple[str, int]]:
    """Which versions of which rules watch a customer."""
    return [(held.rule.rule_id, held.version) for held in States(view.rows, view.breathe).rules(customer_id)]

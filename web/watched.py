"""How things stand with the rules that watch a customer: nobody has to have heard the alert."""

from typing import NamedTuple

from alerts.rules import Subject as Watched
from alerts.states import Standing, States
from ledger import amounts
from ledger.facts import SEAT_ID
from web import cursors
from web.asked import Alerts
from web.cluster import Plain, View
from web.subject import Subject, page
from wire import answers


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

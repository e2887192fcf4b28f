"""Rules drawn from a seed, of every metric and scope."""

import random

from ledger.amounts import UNIT
from ledger.instants import DAY, HOUR
from wire.rules import Metric, Rule, RuleScope

SCOPES: tuple[RuleScope, ...] = ("seat", "seat", "pool", "contract", "customer")


def draw_rule(rng: random.Random, rule_id: str, metrics: tuple[Metric, ...]) -> Rule:
    metric = rng.choice(metrics)
    used = metric in ("seats_over", "seats_used_percent")
    scope: RuleScope = "subscription" if used else rng.choice(SCOPES)
    tops = {"balance": 12, "balance_percent": 100, "days_to_expiry": 6, "time_to_empty": 200, "seats_over": 3}
    levels = {rng.randint(0, tops.get(metric, 200)) * UNIT for _ in range(rng.choice((1, 2, 3)))}
    return Rule(
        rule_id=rule_id,
        name=rule_id,
        metric=metric,
        scope=scope,
        levels=tuple(levels),
        margin=rng.choice((0, 0, 1, 5)) * UNIT,
        customer_id=rng.choice((None, None, "acme")),
        contract_id=rng.choice((None, None, None, "c0")) if scope != "customer" else None,
        seat_id="ana" if scope == "seat" and rng.random() < 0.2 else None,
        include_seats=scope in ("contract", "customer") and rng.random() < 0.5,
        window=rng.choice((24, 48)) * HOUR if metric == "time_to_empty" else DAY,
        evaluate_on_create=rng.random() < 0.8,
        notify_resolved=rng.random() < 0.8,
        min_interval=rng.choice((0, 0, 0, 5)) * HOUR,
    )

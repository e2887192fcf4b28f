"""Rules of `alert-rule`: bytes to a rule, or to why the whole of it is refused; and back.

`read_rule` takes what a client sends and what `write_rule` wrote, so that a copy on `control` (`{"type": "rule", ...}`) is
read by the same rules. A null value and `"archived": true` both archive the rule.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from ledger import amounts
from ledger.amounts import UNIT, Amount
from ledger.facts import CREDITS, Value
from ledger.instants import DAY, HOUR, MINUTE, SECOND, Span
from ledger.outcome import Refusal
from wire.answers import Plain
from wire.cloudevents import unwrap
from wire.codec import MESSAGE_BYTES, Headers, Unreadable
from wire.fields import NAME_LENGTH, Fields, Unfit

Metric = Literal["balance", "balance_percent", "days_to_expiry", "time_to_empty", "seats_used_percent", "seats_over"]
RuleScope = Literal["seat", "pool", "contract", "customer", "subscription"]

#: What measures credits that are left, and what measures seats that are used.
LEFT: Final[tuple[Metric, ...]] = ("balance", "balance_percent", "days_to_expiry", "time_to_empty")
USED: Final[tuple[Metric, ...]] = ("seats_used_percent", "seats_over")
CREDIT_SCOPES: Final[tuple[RuleScope, ...]] = ("seat", "pool", "contract", "customer")
SEAT_SCOPES: Final[tuple[RuleScope, ...]] = ("subscription",)
KINDS: Final[tuple[Literal["credit", "commit"], ...]] = ("credit", "commit")

LEVELS_MOST: Final = 20
URL_LENGTH: Final = 2_000


class Webhook(Value, kw_only=True, frozen=True):
    """Where the alerts of a rule are delivered too, and the name of the secret that signs them."""

    url: str
    secret_id: str


class Rule(Value, kw_only=True, frozen=True):
    """A line that someone drew. Without `customer_id` it is drawn for every customer."""

    rule_id: str
    name: str
    metric: Metric
    scope: RuleScope
    levels: tuple[Amount, ...]
    margin: Amount = 0
    customer_id: str | None = None
    credit_type: str = CREDITS
    contract_id: str | None = None
    seat_id: str | None = None
    seat_group_key: str | None = None
    kind: Literal["credit", "commit"] | None = None
    include_seats: bool = False
    window: Span = DAY
    evaluate_on_create: bool = True
    notify_resolved: bool = True
    min_interval: Span = 0
    webhook: Webhook | None = None


class Archived(Value, kw_only=True, frozen=True):
    """The rule is no more."""

    rule_id: str


def read_rule(key: bytes | None, value: bytes | None, headers: Headers | None = None) -> Rule | Archived | Unreadable:
    """The rule that a message of `alert-rule`, or its copy on `control`, says."""
    if len(value or b"") > MESSAGE_BYTES:
        said = f"the message has {len(value or b''):,} bytes; send at most {MESSAGE_BYTES:,}"
        return Unreadable(refusal=Refusal(code="too_large", message=said, law="L19"))
    rule_id = None
    try:
        named = _key(key)
        if value is None:
            if named is None:
                raise Unfit(
                    "missing_field", "rule_id", "is missing; archive a rule by a null value under its id as the key"
                )
            return Archived(rule_id=named)
        body = unwrap(value, _named(headers))
        fields = Fields(body.held)
        try:
            rule_id = fields.text("rule_id")
            if named is not None and named != rule_id:
                # Compaction goes by the key: under another one, the rule could not be replaced.
                raise fields.refuse("unknown_value", "rule_id", "is not the message's key; use the rule_id as the key")
            return Archived(rule_id=rule_id) if fields.flag("archived") else _rule(fields, rule_id)
        except Unfit as unfit:
            raise Unfit(unfit.code, body.named(unfit.field), unfit.said) from None
    except Unfit as unfit:
        law = "L1" if unfit.code.startswith("amount") else "L19"
        message = f"{unfit.field or 'the message'} {unfit.said}"
        return Unreadable(refusal=Refusal(code=unfit.code, field=unfit.field, message=message, law=law), id=rule_id)


def write_rule(rule: Rule | Archived) -> bytes:
    """The copy of a rule for `control`: every default said, always the same bytes."""
    if isinstance(rule, Archived):
        return msgspec.json.encode({"type": "rule", "rule_id": rule.rule_id, "archived": True})
    said: Plain = {name: value for name in _PLAIN if (value := getattr(rule, name)) is not None}
    said |= {
        "levels": [amounts.text(level) for level in rule.levels],
        "margin": amounts.text(rule.margin),
        "min_interval": span_text(rule.min_interval),
    }
    if rule.metric in LEFT:
        said["credit_type"] = rule.credit_type
    if rule.metric == "time_to_empty":
        said["window"] = span_text(rule.window)
    if rule.webhook is not None:
        said["webhook"] = {"url": rule.webhook.url, "secret_id": rule.webhook.secret_id}
    return msgspec.json.encode({"type": "rule"} | said)


_PLAIN: Final = (
    "rule_id", "name", "customer_id", "metric", "scope", "contract_id", "seat_id", "seat_group_key", "kind",
    "include_seats", "evaluate_on_create", "notify_resolved",
)  # fmt: skip


def span_text(span: Span) -> str:
    """A fixed duration as the wire writes it, in the largest unit that says it whole."""
    for unit, written in ((DAY, "P{}D"), (HOUR, "PT{}H"), (MINUTE, "PT{}M")):
        if span and span % unit == 0:
            return written.format(span // unit)
    return f"PT{span // SECOND}S"


def _rule(fields: Fields, rule_id: str) -> Rule:
    metric = fields.choice("metric", (*LEFT, *USED))
    used = metric in USED
    rule = Rule(
        rule_id=rule_id,
        name=fields.label("name"),
        customer_id=fields.maybe_text("customer_id"),
        metric=metric,
        scope=_scope(fields, metric),
        levels=_levels(fields, metric),
        margin=fields.maybe_amount("margin") or 0,
        credit_type=fields.maybe_text("credit_type") or CREDITS,
        contract_id=fields.maybe_text("contract_id"),
        seat_id=fields.maybe_text("seat_id"),
        seat_group_key=fields.maybe_text("seat_group_key"),
        kind=fields.maybe_choice("kind", KINDS),
        include_seats=fields.flag("include_seats") or False,
        window=fields.maybe_span("window", HOUR) or DAY,
        evaluate_on_create=_flag(fields, "evaluate_on_create"),
        notify_resolved=_flag(fields, "notify_resolved"),
        min_interval=fields.maybe_span("min_interval", 0) or 0,
        webhook=_webhook(fields),
    )
    # What would be ignored in silence: whoever sends it expects something to happen.
    meaningless = {
        "contract_id": rule.scope == "customer",
        "seat_id": rule.scope != "seat",
        "seat_group_key": rule.scope != "seat",
        "include_seats": rule.scope not in ("contract", "customer"),
        "kind": used,
        "credit_type": used,
        "window": metric != "time_to_empty",
    }
    for name, is_so in meaningless.items():
        if is_so:
            fields.never(name, f"means nothing to {metric} of a {rule.scope}; leave it out", but=_USUAL.get(name))
    return rule


#: What may be said all the same, since it changes nothing.
_USUAL: Final = {"include_seats": False}


def _scope(fields: Fields, metric: Metric) -> RuleScope:
    scope = fields.choice("scope", (*CREDIT_SCOPES, *SEAT_SCOPES))
    fitting = SEAT_SCOPES if metric in USED else CREDIT_SCOPES
    if scope not in fitting:
        raise fields.refuse("unknown_value", "scope", f'is "{scope}"; {metric} is measured for {" or ".join(fitting)}')
    return scope


def _levels(fields: Fields, metric: Metric) -> tuple[Amount, ...]:
    levels = fields.amounts("levels", LEVELS_MOST)
    for i, level in enumerate(levels):
        if level in levels[:i]:
            raise fields.refuse(
                "unknown_value", f"levels[{i}]", f"is {amounts.text(level)} once more; give each level once"
            )
        if metric == "balance_percent" and level > 100 * UNIT:
            raise fields.refuse(
                "unknown_value", f"levels[{i}]", f"is {amounts.text(level)}; give a percentage up to 100"
            )
    return tuple(levels)


def _flag(fields: Fields, name: str) -> bool:
    """True unless it is said to be false."""
    return fields.flag(name) is not False


def _webhook(fields: Fields) -> Webhook | None:
    held = fields.object("webhook")
    if held is None:
        return None
    return Webhook(url=held.url("url", URL_LENGTH), secret_id=held.text("secret_id"))


def _key(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        named = key.decode()
    except UnicodeDecodeError:
        raise Unfit("unreadable", None, "has a key that is not UTF-8; use the rule_id as the key") from None
    if not 1 <= len(named) <= NAME_LENGTH:
        raise Unfit(
            "unknown_value", "rule_id", f"is the message's key and has {len(named)} characters; give 1 to {NAME_LENGTH}"
        )
    return named


def _named(headers: Headers | None) -> Mapping[str, bytes]:
    pairs: Iterable[tuple[str, bytes | None]] = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {name.lower(): value for name, value in pairs if value is not None}


def same_question(rule: Rule, other: Rule) -> bool:
    """Whether two rules say the same but for what they are called and where they are delivered: the same version (L18)."""
    return msgspec.structs.replace(rule, name="", webhook=None) == msgspec.structs.replace(other, name="", webhook=None)


__all__ = [
    "LEFT", "USED", "Archived", "Metric", "Rule", "RuleScope", "Webhook", "read_rule", "same_question", "span_text",
    "write_rule",
]  # fmt: skip

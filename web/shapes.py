"""What is answered, as the OpenAPI document says it; tests hold every answer against these."""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from ledger.answers import EntryType
from web.asked import Moment
from wire.rules import Metric, RuleScope

Amount: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]{1,9})?$", description="An exact decimal")]


class Shape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    pass


class Read(Shape, kw_only=True):
    """How far was read: for each input of the partition the next offset, the newest instant folded, the records that wait and
    the age of the oldest of them."""

    event_time: Moment | None
    offsets: dict[str, int]
    lag: int
    behind_ms: int


class Answer(Shape, kw_only=True):
    as_of: Read


class Page(Answer, kw_only=True):
    next_cursor: Annotated[
        str | None,
        msgspec.Meta(
            description="Where the next rows are; null: there are none. A page may have fewer rows than were asked for, or"
            " none, and still a cursor"
        ),
    ]


# --- customers and what they agreed ----------------------------------------------------------------------------------


class CustomerRow(Shape, kw_only=True):
    customer_id: str
    contracts: int


class Customers(Page, kw_only=True):
    data: list[CustomerRow]


class Subscription(Shape, kw_only=True):
    """`quantity` is the total: `assigned` and `unassigned` together; `extra` what is above `included`; `pending_removals` what
    is paid for this period and no longer used."""

    subscription_id: str
    name: str | None
    feature_code: str | msgspec.UnsetType = msgspec.UNSET
    mode: Literal["quantity", "seats"]
    seat_group_key: str | msgspec.UnsetType = msgspec.UNSET
    version: int
    quantity: int
    assigned: int
    unassigned: int
    included: int
    extra: int
    paid: int
    pending_removals: int
    starting_at: Moment | None
    ending_before: Moment | None
    changed_at: Moment | None


class Contract(Shape, kw_only=True):
    contract_id: str
    name: str | None
    overage: Literal["charge", "carry"]
    starting_at: Moment | None
    ending_before: Moment | None
    subscriptions: list[Subscription]


class Scope(Shape, kw_only=True):
    """A seat's id, or that it is a pool."""

    seat_id: str | msgspec.UnsetType = msgspec.UNSET
    seat_group_key: str | msgspec.UnsetType = msgspec.UNSET
    pool: bool | msgspec.UnsetType = msgspec.UNSET


class PoolBalance(Shape, kw_only=True):
    """The customer's pool has no contract."""

    contract_id: str | None
    scope: Scope
    credit_type: str
    balance: Amount
    granted: Amount
    overage: Amount


class CustomerNow(Shape, kw_only=True):
    customer_id: str
    contracts: list[Contract]
    balances: list[PoolBalance]


class Customer(Answer, kw_only=True):
    at: Moment | None
    data: CustomerNow


class Sitting(Shape, kw_only=True):
    seat_id: str
    name: str | None
    email: str | None
    since: Moment | None
    contract_id: str
    subscription_id: str
    feature_code: str | None
    seat_group_key: str | msgspec.UnsetType = msgspec.UNSET


class Seats(Page, kw_only=True):
    at: Moment | None
    data: list[Sitting]


class Segment(Shape, kw_only=True, rename={"from_": "from"}):
    contract_id: str
    subscription_id: str
    from_: Moment | None
    to: Moment | None
    quantity: int
    assigned: int
    unassigned: int
    added: list[str]
    removed: list[str]


class SeatHistory(Page, kw_only=True):
    data: list[Segment]


# --- credits ---------------------------------------------------------------------------------------------------------


class Grant(Shape, kw_only=True):
    """A grant, or a slice of a recurring credit, which has its id."""

    grant_id: str
    slice: int | msgspec.UnsetType = msgspec.UNSET
    recurring_credit_id: str | msgspec.UnsetType = msgspec.UNSET
    subscription_id: str | msgspec.UnsetType = msgspec.UNSET
    balance: Amount
    granted: Amount
    amount: Amount
    priority: int
    effective_at: Moment | None
    expires_at: Moment | None


class Balance(PoolBalance, kw_only=True):
    """`available` is what a seat may draw on altogether, its own and both pools."""

    available: Amount | msgspec.UnsetType = msgspec.UNSET
    grants: list[Grant]


class Balances(Page, kw_only=True):
    at: Moment | None
    data: list[Balance]


class Cause(Shape, kw_only=True):
    """What did it: a fact's type and id, or `time` and an instant; `credit-burns` and the id of the last one where the burns of
    a day have become one line."""

    type: str
    id: str


class Entry(Shape, kw_only=True):
    """`beside` is what a line did to the overage, where it did anything. Where a seat is asked for, lines of the pools that paid
    for it come too; those have no `seat_id`, and say nothing of what the pool had left."""

    entry_id: str
    time: Moment
    type: EntryType
    amount: Amount
    beside: Amount | msgspec.UnsetType = msgspec.UNSET
    contract_id: str | None
    seat_id: str | None
    credit_type: str
    grant_id: str | None
    slice: int | None
    balance_after: Amount | None
    cause: Cause


class Ledger(Page, kw_only=True):
    data: list[Entry]


class Point(Shape, kw_only=True):
    """The balance at `time`; what was burned and went over since the point before."""

    time: Moment
    balance: Amount
    granted: Amount
    burned: Amount
    overage: Amount


class BalanceHistory(Page, kw_only=True):
    data: list[Point]


class Watched(Shape, kw_only=True):
    """Whom a rule watches: a seat, a subscription, a contract or its pool; nothing is said of a customer or its pool."""

    contract_id: str | msgspec.UnsetType = msgspec.UNSET
    subscription_id: str | msgspec.UnsetType = msgspec.UNSET
    seat_id: str | msgspec.UnsetType = msgspec.UNSET
    seat_group_key: str | msgspec.UnsetType = msgspec.UNSET


class AlertState(Shape, kw_only=True):
    """`level` is the one in alarm that was passed last, `value` what is compared now, `since` when the state began."""

    rule_id: str
    name: str
    metric: Metric
    scope: RuleScope
    subject: Watched
    state: Literal["evaluating", "ok", "in_alarm"]
    level: Amount | None
    value: Amount | None
    since: Moment | None
    alert_id: str | None


class Alerts(Page, kw_only=True):
    data: list[AlertState]


class Payer(Shape, kw_only=True):
    grant_id: str
    slice: int | None
    amount: Amount


class MaySpend(Shape, kw_only=True):
    """Whether all of `amount` would be covered, and by what, in the order of drawing."""

    available: bool
    contract_id: str
    amount: Amount
    covered: Amount
    payers: list[Payer]


class Available(Answer, kw_only=True):
    at: Moment | None
    data: MaySpend


# --- writing ---------------------------------------------------------------------------------------------------------


class Outcome(Shape, kw_only=True):
    """What became of a fact. A repeat has the first one's `result`, and `differs` where its body was another."""

    id: str | None
    outcome: Literal["folded", "repeated", "refused", "waiting", "published"]
    result: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    differs: bool | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET
    message: str | msgspec.UnsetType = msgspec.UNSET
    details: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class Outcomes(Answer, kw_only=True):
    outcomes: list[Outcome]

"""What can be asked: the parameters of every path, once. Requests are checked against these, and the OpenAPI document is
written from them."""

from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from multidict import MultiMapping

from ledger import amounts, instants
from ledger.instants import Every
from web.problems import Problem, unfit

P = TypeVar("P", bound="Asked")


class Moment(int):
    """An instant, written as RFC 3339 with an offset."""


class Credits(int):
    """An amount of credits, written as a decimal."""


class Asked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The query parameters of a path. One that nobody knows is refused: a filter with a typing error would answer too much."""


Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Limit: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1000, description="Rows a page, at most")]
Cursor: TypeAlias = Annotated[
    str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,32000}$", description="`next_cursor` of the page before")
]
At: TypeAlias = Annotated[
    Moment,
    msgspec.Meta(
        description="The instant to answer for, at most 400 days ahead; unless said, just after all that is folded"
    ),
]
Contract: TypeAlias = Annotated[Id, msgspec.Meta(description="Only of this contract")]
Subscription: TypeAlias = Annotated[Id, msgspec.Meta(description="Only of this subscription")]
Feature: TypeAlias = Annotated[Id, msgspec.Meta(description="Only of the subscription with this feature code")]
Seat: TypeAlias = Annotated[Id, msgspec.Meta(description="Only of this seat")]
CreditType: TypeAlias = Annotated[Id, msgspec.Meta(description="Only credits of this type")]
From: TypeAlias = Annotated[Moment, msgspec.Meta(description="Not before this instant")]
To: TypeAlias = Annotated[
    Moment, msgspec.Meta(description="Before this instant; unless said, just after all that is folded")
]


class Customers(Asked, kw_only=True, frozen=True):
    limit: Limit = 100
    cursor: Cursor | None = None
    search: Annotated[str, msgspec.Meta(max_length=200, description="A part of the id, in capitals or not")] = ""


class Customer(Asked, kw_only=True, frozen=True):
    at: At | None = None


class Seats(Asked, kw_only=True, frozen=True):
    contract_id: Contract | None = None
    subscription_id: Subscription | None = None
    feature_code: Feature | None = None
    at: At | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Balances(Asked, kw_only=True, frozen=True):
    contract_id: Contract | None = None
    subscription_id: Annotated[Id, msgspec.Meta(description="Only seats that ever sat in this subscription")] | None = (
        None
    )
    seat_id: Annotated[
        list[Id], msgspec.Meta(max_length=100, description="Only of these seats; may be given several times")
    ] = []
    credit_type: CreditType | None = None
    kind: Annotated[str, msgspec.Meta(pattern="^(credit|commit)$", description="Only grants of this kind")] | None = (
        None
    )
    at: At | None = None
    active_from: (
        Annotated[Moment, msgspec.Meta(description="With grants that live at or after this instant")] | None
    ) = None
    active_to: Annotated[Moment, msgspec.Meta(description="With grants that live before this instant")] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Ledger(Asked, kw_only=True, frozen=True):
    contract_id: Contract | None = None
    seat_id: (
        Annotated[Id, msgspec.Meta(description="Only of this seat, and of the pools where they paid for it")] | None
    ) = None
    grant_id: Annotated[Id, msgspec.Meta(description="Only of this grant")] | None = None
    credit_type: CreditType | None = None
    from_: From | None = msgspec.field(default=None, name="from")
    to: To | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class SeatHistory(Asked, kw_only=True, frozen=True):
    contract_id: Contract | None = None
    subscription_id: Subscription | None = None
    seat_id: Annotated[Id, msgspec.Meta(description="Only where this seat came or left")] | None = None
    from_: From | None = msgspec.field(default=None, name="from")
    to: (
        Annotated[Moment, msgspec.Meta(description="Before this instant; unless said, with all that is scheduled")]
        | None
    ) = None
    limit: Limit = 100
    cursor: Cursor | None = None


class BalanceHistory(Asked, kw_only=True, frozen=True):
    contract_id: (
        Annotated[Id, msgspec.Meta(description="Whose pool or seat it is; may go unsaid where one can be meant")] | None
    ) = None
    seat_id: Annotated[Id, msgspec.Meta(description="The seat; unless said, the pool")] | None = None
    credit_type: Annotated[Id, msgspec.Meta(description="Credits of this type")] = "credits"
    from_: Annotated[Moment, msgspec.Meta(description="The first point; unless said, 30 days before `to`")] | None = (
        msgspec.field(default=None, name="from")
    )
    to: To | None = None
    every: Annotated[
        str, msgspec.Meta(max_length=12, description="From point to point: PT1H, P1D, P1W, P1M; at most 1,000 points")
    ] = "P1D"
    cursor: (
        Annotated[
            Cursor, msgspec.Meta(description="`next_cursor` of the answer before: of many burns, not all at once")
        ]
        | None
    ) = None


class Available(Asked, kw_only=True, frozen=True):
    amount: Annotated[Credits, msgspec.Meta(description="What is to be spent, above 0")]
    contract_id: Annotated[Id, msgspec.Meta(description="Unless said, looked up as for a burn")] | None = None
    seat_id: Annotated[Id, msgspec.Meta(description="Who spends; unless said, the pools pay")] | None = None
    credit_type: Annotated[Id, msgspec.Meta(description="Credits of this type")] = "credits"


class Alerts(Asked, kw_only=True, frozen=True):
    rule_id: Annotated[Id, msgspec.Meta(description="Only of this rule")] | None = None
    contract_id: Contract | None = None
    seat_id: Seat | None = None
    state: (
        Annotated[str, msgspec.Meta(pattern="^(evaluating|ok|in_alarm)$", description="Only in this state")] | None
    ) = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Publish(Asked, kw_only=True, frozen=True):
    timeout_ms: Annotated[
        int, msgspec.Meta(ge=1, le=30_000, description="How long to wait until the facts are folded")
    ] = 5_000


# --- of the view -----------------------------------------------------------------------------------------------------

#: As a browser's field writes it, in UTC, or as everywhere else; empty: now.
Picked: TypeAlias = Annotated[str, msgspec.Meta(max_length=40)]


#: What the page showed that asks.
Seen: TypeAlias = Annotated[str, msgspec.Meta(max_length=40)]


class FindPage(Asked, kw_only=True, frozen=True):
    search: Annotated[str, msgspec.Meta(max_length=200)] = ""
    cursor: Cursor | None = None


class CustomerPage(Asked, kw_only=True, frozen=True):
    at: Picked = ""
    search: Annotated[str, msgspec.Meta(max_length=200)] = ""
    sort: Annotated[str, msgspec.Meta(pattern="^(id|left|)$")] = "id"
    cursor: Cursor | None = None


class SeatPage(Asked, kw_only=True, frozen=True):
    at: Picked = ""
    contract_id: Contract | None = None
    credit_type: CreditType = "credits"


class CustomerLive(CustomerPage, kw_only=True, frozen=True):
    seen: Seen = ""


class SeatLive(SeatPage, kw_only=True, frozen=True):
    seen: Seen = ""


class SignInPage(Asked, kw_only=True, frozen=True):
    to: Annotated[str, msgspec.Meta(max_length=2000)] = "/"


def picked(at: str) -> Moment | None:
    """The instant that somebody picked."""
    if not at:
        return None
    # A browser leaves out the seconds where they are 0, and knows no offset.
    written = at if at[-1:] in "Zz" or at[-6:-5] in ("+", "-") else f"{at}:00Z" if at.count(":") == 1 else f"{at}Z"
    try:
        return Moment(instants.instant(written))
    except instants.InstantError:
        raise unfit("at", "is no instant, such as 2026-03-16T09:30:00Z", "wrong_type") from None


# --- reading ---------------------------------------------------------------------------------------------------------


def read(query: MultiMapping[str], shape: type[P]) -> P:
    """The parameters of a query. Raises the problem of the first that does not fit."""
    many = _many(shape)
    held: dict[str, Any] = {}
    for name in query:
        values = query.getall(name)
        if name in many:
            held[name] = values
        elif len(values) > 1:
            raise unfit(name[:200], "is given more than once", "wrong_type")
        else:
            held[name] = values[0]
    try:
        return msgspec.convert(held, shape, strict=False, dec_hook=custom)
    except msgspec.ValidationError as error:
        raise _problem(str(error)) from None


@cache
def _many(shape: type[Asked]) -> frozenset[str]:
    """The parameters that may be given several times."""
    fields = msgspec.structs.fields(shape)
    return frozenset(field.encode_name for field in fields if field.default_factory is not msgspec.NODEFAULT)


def custom(kind: type, value: Any) -> Any:
    if kind is Moment:
        try:
            return Moment(instants.instant(value))
        except instants.InstantError:
            raise ValueError("give an RFC 3339 instant with an offset, such as 2026-03-16T09:30:00Z") from None
    if kind is Credits:
        try:
            return Credits(amounts.parse(value))
        except amounts.AmountError as error:
            raise ValueError(f"give a decimal such as 1.25 ({error.code})") from None
    raise NotImplementedError(kind)


def _problem(said: str) -> Problem:
    what, _, where = said.partition(" - at `$.")
    if not where:
        what, _, where = said.partition("`")
        field = where.removesuffix("`")
        if "missing" in what:
            return Problem(400, "missing_field", f"{field} is missing", field=field)
        return Problem(400, "unknown_parameter", f"{field[:200]} is no parameter of this path", field=field[:200])
    field = where.partition("`")[0].partition("[")[0]
    code = "wrong_type" if what.startswith("Expected `int`, got") or what.startswith("give") else "unknown_value"
    return Problem(400, code, f"{field}: {what[0].lower()}{what[1:]}", field=field)


def every(written: str) -> Every:
    try:
        return instants.every(written)
    except instants.InstantError:
        raise unfit(
            "every", "is no duration of one unit, an hour at least, such as PT1H, P1D, P1W, P1M", "wrong_type"
        ) from None


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of what is not JSON's own."""
    if kind is Moment:
        return {"type": "string", "format": "date-time", "examples": ["2026-03-16T09:30:00Z"]}
    if kind is Credits:
        return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?$", "examples": ["1.25"]}
    raise NotImplementedError(kind)

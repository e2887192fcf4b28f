"""The ledger's own small language: a story of facts, one a line, checkable with a pencil.

    contract c carry from 2026-01-01 until 2027-01-01        (said for you, from 2026-01-01 on, if a story names none)
    contract c bringing                                      with what the lines after it define
    subscription team seats ana bo +1 unassigned             ... quantity 3, included 2, minimum 1, price 25, revoking,
                                                             billed P1M, increases next_period, unprorated, code editor
    recurring monthly 100 per seat of team every P1M         ... per unit of team (pooled), to pool; until T, for 2 periods,
                                                             priority 5, proration none, whole increases, rounded floor 0
    grant yearly 100 until 2031-01-01 priority 5             ... to seat ana, to customer; every P1M, rolled over,
                                                             rollover, rollover max 3, rollover min 1 max 3
    burn 30 by ana at 2026-03-16T09:30                       ... id b, anywhere (names no contract)
    take back b                                              (a burn)
    void yearly · adjust yearly by -5 · reset · reset customer · reset preserving overage
    add cy and remove bo and unassigned +1 at 03-16          one edit; also set ana bo, move ana to di carrying,
                                                             quantity 5 in viewer, quantity +1; version 3, sequence 2,
                                                             code editor, anywhere (names no contract)
    change monthly amount 200 · end team · end contract at 06-01 · end team never
    again b · again b but 7                                  the fact once more, with the same or another body
    tick 06-01                                               time passes to there, and nobody says anything

A word `at` says when something happens, `from` when something starts (the same to us); left out, it happens when the line
before it did. A fact is said when it happens, unless a line ends in `said T`, and arrives then, or with the line before
it if that was later. A day is midnight in UTC, of 2026 if no year is given; `on d` speaks of another contract than the last
one made.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import msgspec

from ledger.amounts import parse, text
from ledger.answers import Balance, Counts, Entry
from ledger.facts import (
    CREDITS,
    AddSeats,
    AddUnassignedSeats,
    AnyFact,
    AnyOperation,
    BurnVoided,
    ChangeQuantity,
    ContractCreated,
    ContractEnded,
    CreditBurn,
    CreditsAdjusted,
    CreditsGranted,
    CreditsVoided,
    Grant,
    MoveSeat,
    PeriodReset,
    Price,
    Recurrence,
    RecurringCredit,
    RecurringCreditAdded,
    RecurringCreditChanges,
    RecurringCreditEnded,
    RecurringCreditUpdated,
    RemoveSeats,
    RemoveUnassignedSeats,
    Rollover,
    Rounding,
    SeatChange,
    SeatName,
    SetQuantity,
    SetSeats,
    Subscription,
    SubscriptionAdded,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionUpdated,
)
from ledger.instants import DAY, FOREVER, HOUR, Every, Instant, instant
from ledger.instants import text as instant_text
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refused, Repeated, Scope, Waiting
from tests.ledger.memory import MemoryRows
from tests.ledger.model import Model

BOUNDS = {"lateness": 400 * DAY, "ahead": DAY, "wait": HOUR}


class Played:
    """What a story came to. Amounts are text; an instant left out is just after everything."""

    def __init__(self, ledger: "Ledger | Model | _Another") -> None:
        self.ledger = ledger
        self.now: Instant = 0
        self.outcomes: dict[str, Outcome] = {}
        self.repeats: list[Repeated] = []
        self.customer_id = "acme"
        self.contract_id = "c"
        self.teller = _Teller(self)

    def left(self, who: str = "pool", at: str | None = None, **named: str) -> dict[str, str]:
        """What is left of each active grant of a seat, of the contract's `pool` or of the `customer`'s, in L5 order."""
        found = self._balance(who, at, **named)
        grants = found.grants if found is not None else ()
        ids = [each.grant_id for each in grants]
        return {
            each.grant_id if ids.count(each.grant_id) == 1 else f"{each.grant_id}#{each.slice}": text(each.balance)
            for each in grants
        }

    def balance(self, who: str = "pool", at: str | None = None, **named: str) -> str:
        found = self._balance(who, at, **named)
        return text(found.balance if found is not None else 0)

    def granted(self, who: str = "pool", at: str | None = None, **named: str) -> str:
        found = self._balance(who, at, **named)
        return text(found.granted if found is not None else 0)

    def overage(self, who: str = "pool", at: str | None = None, **named: str) -> str:
        found = self._balance(who, at, **named)
        return text(found.overage if found is not None else 0)

    def scopes(self, at: str | None = None) -> list[str]:
        """Who has a row."""
        return [_who(each.scope) for each in self.ledger.balances(self.customer_id, self._at(at))]

    def entries(self, who: str | None = None, until: str | None = None) -> list[str]:
        """`burned -30 monthly`: what, how much (of the overage where the balance stays), which grant; of one scope or all."""
        lines = self.ledger.entries(self.customer_id, self._at(until))
        return [_line(each, who is None) for each in lines if who in (None, _who(each.scope))]

    def counts(self, subscription_id: str = "team", at: str | None = None) -> Counts:
        rows = self.ledger.counts(self.customer_id, self.contract_id, self._at(at))
        return next(row for row in rows if row.subscription_id == subscription_id)

    def seats(self, subscription_id: str = "team", at: str | None = None) -> str:
        """`ana bo +1`: who holds a seat, and how many are held by nobody."""
        held = self.ledger.holders(self.customer_id, self.contract_id, subscription_id, self._at(at))
        return " ".join([*held, f"+{self.counts(subscription_id, at).unassigned}"])

    def charges(self, until: str | None = None) -> list[str]:
        """`increase 2 x 1/2 = 25 at 2026-06-16`."""
        return [
            f"{each.kind} {each.seats} x {Fraction(each.covered, each.period)}"
            f"{'' if each.amount is None else f' = {text(each.amount)}'} at {_day(each.time)}"
            for each in self.ledger.charges(self.customer_id, self._at(until))
        ]

    def may_spend(self, who: str, amount: str, at: str | None = None) -> bool:
        return self.ledger.available(self._scope(who), self._at(at), parse(amount))[0]

    def curve(self, who: str, *times: str) -> list[str]:
        windows = self.ledger.curve(self.customer_id, self._scope(who), [_instant(each) for each in times])
        return [text(each.balance) for each in windows]

    def due(self, after: str) -> str | None:
        found = self.ledger.next_due(self.customer_id, _instant(after))
        return None if found is None else _day(found)

    def dues(self, after: str, until: str) -> list[str]:
        """Every instant of a while at which something may happen by itself."""
        found, at = [], self.ledger.next_due(self.customer_id, _instant(after))
        while at is not None and at <= _instant(until):
            found.append(_day(at))
            at = self.ledger.next_due(self.customer_id, at)
        return found

    def paid(self, id: str) -> list[str]:
        """`20 of march`: what paid a burn when it was folded, and the overage."""
        outcome = self.outcomes[id]
        assert isinstance(outcome, Folded), outcome
        paid = [f"{text(amount)} of {grant_id}" for grant_id, _, amount, _ in outcome.result["paid"]]
        over = outcome.result["overage"]
        return [*paid, *([f"{text(over)} over"] if over else [])]

    def refused(self) -> dict[str, str]:
        """The code of each fact that was refused."""
        found = {id: outcome for id, outcome in self.outcomes.items() if isinstance(outcome, Refused)}
        return {id: outcome.refusal.code for id, outcome in found.items()}

    def waiting(self) -> list[str]:
        return [id for id, outcome in self.outcomes.items() if isinstance(outcome, Waiting)]

    def _at(self, at: str | None) -> Instant:
        return self.now + 1 if at is None else _instant(at)

    def _balance(self, who: str, at: str | None, *, of: str | None = None, on: str | None = None) -> Balance | None:
        credit_type = CREDITS if of is None else of
        for each in self.ledger.balances(self.customer_id, self._at(at)):
            scope = each.scope
            here = scope.contract_id in (None, on or self.contract_id)
            if here and _who(scope) == who and scope.credit_type == credit_type:
                return each
        return None

    def _scope(self, who: str) -> Scope:
        contract_id = None if who == "customer" else self.contract_id
        seat_id = None if who in ("pool", "customer") else who
        return Scope(customer_id=self.customer_id, contract_id=contract_id, seat_id=seat_id)


Play: TypeAlias = Callable[..., Played]


def play(story: str, ledger: "Ledger | Model | _Another | None" = None, **bounds: int) -> Played:
    """Plays a story, through an engine of its own (with other bounds, if said) or through the ledger given."""
    played = Played(Ledger(MemoryRows(), **BOUNDS | bounds) if ledger is None else ledger)
    if not any(line.split()[:1] == ["contract"] for line in story.splitlines()):
        play_on(played, "contract c from 2026-01-01")
    return play_on(played, story)


def play_on(played: Played, story: str) -> Played:
    """Goes on with a story."""
    for line in story.splitlines():
        words = line.split("(")[0].split()
        if words:
            played.teller.tell(words)
    played.teller.all_brought()
    return played


def facts(story: str) -> list[tuple[AnyFact, Instant]]:
    """The facts of a story and when each arrived, for who plays them in another way."""
    heard = _Listener()
    play(story, heard)
    return heard.facts


class _Another:
    """A ledger that folds in a way of its own. It stands before the real one: compiled, that has no subclasses."""

    def __init__(self, **bounds: int) -> None:
        self.ledger = Ledger(MemoryRows(), **bounds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


class _Listener(_Another):
    """Only listens."""

    def __init__(self) -> None:
        super().__init__(**BOUNDS)
        self.facts: list[tuple[AnyFact, Instant]] = []

    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        self.facts.append((fact, arrived_at))
        return Folded(result={})


def play_reopened(story: str, **bounds: int) -> Played:
    """Through an engine that is opened anew over its rows for every line: what it didn't write, it doesn't know."""
    return play(story, _Reopened(**BOUNDS | bounds))


class _Reopened(_Another):
    def fold(self, fact: AnyFact, arrived_at: Instant) -> Outcome:
        self.ledger.flush()
        return self.ledger.fold(fact, arrived_at)

    def advance(self, now: Instant) -> list[tuple[AnyFact, Outcome]]:
        self.ledger.flush()
        return self.ledger.advance(now)


def play_on_model(story: str, **bounds: int) -> Played:
    return play(story, Model(**BOUNDS | bounds))


# --- lines to facts --------------------------------------------------------------------------------------------------


class _Line:
    """The words of a line, taken one by one; whatever is left at the end is a slip of the pencil."""

    def __init__(self, words: list[str]) -> None:
        self.words = list(words)

    def next(self) -> str:
        return self.words.pop(0)

    def flag(self, *words: str) -> bool:
        """Whether these words stand together in the line."""
        at = self._find(list(words))
        if at is None:
            return False
        del self.words[at : at + len(words)]
        return True

    def after(self, *words: str) -> str | None:
        """The word after these."""
        at = self._find(list(words))
        if at is None or at + len(words) >= len(self.words):
            return None
        found = self.words[at + len(words)]
        del self.words[at : at + len(words) + 1]
        return found

    def number(self, *words: str, otherwise: int = 0) -> int:
        found = self.after(*words)
        return otherwise if found is None else int(found)

    def rest(self) -> list[str]:
        words, self.words = self.words, []
        return words

    def _find(self, words: list[str]) -> int | None:
        return next((i for i in range(len(self.words)) if self.words[i : i + len(words)] == words), None)


class _Teller:
    """Turns lines into facts and has them folded."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.at: Instant = 0
        self.told: dict[str, AnyFact] = {}
        self.starts: dict[str, Instant] = {}
        self.subscription_id: str | None = None
        self.recurring: set[str] = set()
        self.bringing: ContractCreated | None = None

    def tell(self, words: list[str]) -> None:
        line = _Line(words)
        if self.bringing is not None and words[0] in _BROUGHT:
            self.bringing = self._brought(self.bringing, line)
            fact = None
        else:
            self.all_brought()
            if words[0] == "tick":
                self._pass_to(_instant(words[1]))
                return
            brings = line.flag("bringing")
            fact = self._again(line) if words[0] == "again" else self._fact(line)
            if brings:
                assert isinstance(fact, ContractCreated)
                self.bringing, fact = fact, None
        assert not line.words, f"what does {' '.join(line.words)!r} mean in {' '.join(words)!r}?"
        if fact is not None:
            self._fold(fact)

    def all_brought(self) -> None:
        """The contract whose lines these were is told."""
        contract, self.bringing = self.bringing, None
        if contract is not None:
            self._fold(contract)

    def _brought(self, contract: ContractCreated, line: _Line) -> ContractCreated:
        kind = line.next()
        at = line.after("at") or line.after("from")
        starts = contract.starting_at if at is None else _instant(at)
        match kind:
            case "subscription":
                more = {"subscriptions": (*contract.subscriptions, self._subscription(line, starts))}
                return msgspec.structs.replace(contract, **more)
            case "recurring":
                credits = {"recurring_credits": (*contract.recurring_credits, self._recurring(line, starts))}
                return msgspec.structs.replace(contract, **credits)
        grants = {"grants": (*contract.grants, self._grant(line, contract.contract_id, starts))}
        return msgspec.structs.replace(contract, **grants)

    def _fold(self, fact: AnyFact) -> None:
        self._pass_to(max(self.played.now, fact.time))
        outcome = self.played.ledger.fold(fact, self.played.now)
        if isinstance(outcome, Repeated):
            self.played.repeats.append(outcome)
        else:
            self.played.outcomes[fact.id] = outcome
        self._note(self.played.ledger.settled())
        self.told.setdefault(fact.id, fact)

    def _pass_to(self, now: Instant) -> None:
        if now > self.played.now:
            self.played.now = now
            self._note(self.played.ledger.advance(now))

    def _note(self, settled: list[tuple[AnyFact, Outcome]]) -> None:
        for fact, outcome in settled:
            self.played.outcomes[fact.id] = outcome

    def _again(self, line: _Line) -> AnyFact:
        line.next()
        fact = self.told[line.next()]
        amount = line.after("but")
        return fact if amount is None else msgspec.structs.replace(fact, **{"amount": parse(amount)})

    def _fact(self, line: _Line) -> AnyFact:
        kind = line.next()
        if kind == "contract":
            return self._contract(line)
        named = line.after("on")
        contract_id = named or self.played.contract_id
        id = line.after("id") or f"{kind}-{len(self.told):03}"
        customer_id = self.played.customer_id
        said = line.after("said")
        if kind in _OPERATIONS:
            return self._edit(kind, line, id, customer_id, contract_id, said)
        at = line.after("at") or line.after("from")
        if kind in ("subscription", "recurring", "grant") and at is None:
            happens = max(self.starts.get(contract_id, 0), self.at if kind == "grant" else 0)
        else:
            happens = self.at if at is None else _instant(at)
            self.at = happens
        common: dict[str, Any] = {
            "id": id,
            "customer_id": customer_id,
            "time": happens if said is None else _instant(said),
        }
        match kind:
            case "subscription":
                return SubscriptionAdded(
                    contract_id=contract_id, subscription=self._subscription(line, happens), **common
                )
            case "recurring":
                return RecurringCreditAdded(
                    contract_id=contract_id, recurring_credit=self._recurring(line, happens), **common
                )
            case "grant":
                return CreditsGranted(grant=self._grant(line, contract_id, happens), **common)
            case "burn":
                return self._burn(line, contract_id, common)
            case "take":
                line.flag("back")
                return BurnVoided(burn_id=line.next(), **common)
            case "void":
                return CreditsVoided(**self._named_grant(line, contract_id), voided_at=happens, **common)
            case "adjust":
                amount = line.after("by")
                assert amount is not None
                return CreditsAdjusted(
                    **self._named_grant(line, contract_id), amount=parse(amount), reason="goodwill", **common
                )
            case "reset":
                whose = None if line.flag("customer") else contract_id
                return PeriodReset(contract_id=whose, preserve_overage=line.flag("preserving", "overage"), **common)
            case "change":
                return self._change(line, contract_id, happens, common)
            case "end":
                return self._end(line, contract_id, happens, common)
        raise AssertionError(f"no fact begins with {kind!r}")

    def _contract(self, line: _Line) -> AnyFact:
        contract_id = line.next()
        until, said, id = line.after("until"), line.after("said"), line.after("id")
        starting_at = _instant(line.after("from") or "2026-01-01")
        self.at = starting_at
        self.starts[contract_id] = starting_at
        self.played.contract_id = contract_id
        line.flag("charge")
        return ContractCreated(
            id=id or f"contract-{contract_id}",
            customer_id=self.played.customer_id,
            time=starting_at if said is None else _instant(said),
            contract_id=contract_id,
            starting_at=starting_at,
            ending_before=FOREVER if until is None else _instant(until),
            overage="carry" if line.flag("carry") else "charge",
        )

    def _subscription(self, line: _Line, starting_at: Instant) -> Subscription:
        id = self.subscription_id = line.next()
        until, price = line.after("until"), line.after("price")
        included = line.after("included")
        every = _every(line.after("billed") or "P1M")
        fields: dict[str, Any] = {
            "minimum_seats": line.number("minimum"),
            "feature_code": line.after("code"),
            "seat_group_key": line.after("group") or "seat_id",
            "charge_increases": line.after("increases") or "now",
            "prorate_charges": not line.flag("unprorated"),
            "revoke_on_removal": line.flag("revoking"),
        }
        quantity = line.after("quantity")
        names: list[str] = []
        if quantity is None:
            assert line.next() == "seats"
            names = line.rest()
        unassigned = int(names.pop(-2)) if names[-1:] == ["unassigned"] else 0
        names = [name for name in names if name != "unassigned"]
        return Subscription(
            subscription_id=id,
            mode="seats" if quantity is None else "quantity",
            starting_at=starting_at,
            ending_before=FOREVER if until is None else _instant(until),
            quantity=0 if quantity is None else int(quantity),
            seat_ids=_names(names),
            unassigned_seats=unassigned,
            included_seats=None if included is None else int(included),
            unit_price=None if price is None else Price(amount=parse(price), currency="USD"),
            billing_period=Recurrence(every=every, anchor=starting_at),
            **fields,
        )

    def _recurring(self, line: _Line, starting_at: Instant) -> RecurringCredit:
        id, amount = line.next(), line.next()
        self.recurring.add(id)
        individual = line.flag("per", "seat")
        line.flag("per", "unit")
        line.flag("to", "pool")
        anchor, until = line.after("anchor"), line.after("until")
        periods = line.number("for", otherwise=1)
        line.flag("periods")
        every = line.after("every")
        assert every is not None
        fields: dict[str, Any] = {"proration": line.after("proration") or "first_and_last"}
        return RecurringCredit(
            recurring_credit_id=id,
            amount=parse(amount),
            allocation="individual" if individual else "pooled",
            subscription_id=line.after("of"),
            every=_every(every),
            anchor=starting_at if anchor is None else _instant(anchor),
            starting_at=starting_at,
            ending_before=FOREVER if until is None else _instant(until),
            duration_periods=periods,
            priority=line.number("priority", otherwise=100),
            prorate_increases=not line.flag("whole", "increases"),
            rollover=_rollover(line),
            rounding=_rounding(line),
            credit_type=_type(line),
            **fields,
        )

    def _grant(self, line: _Line, contract_id: str, effective_at: Instant) -> Grant:
        id, amount = line.next(), line.next()
        seat_id = line.after("to", "seat")
        whole = line.flag("to", "customer")
        line.flag("to", "pool")
        until, every, anchor = line.after("until"), line.after("every"), line.after("anchor")
        return Grant(
            grant_id=id,
            contract_id=None if whole else contract_id,
            seat_id=seat_id,
            seat_group_key=line.after("group") or "seat_id",
            amount=parse(amount),
            priority=line.number("priority", otherwise=100),
            effective_at=effective_at,
            expires_at=FOREVER if until is None else _instant(until),
            recurrence=None
            if every is None
            else Recurrence(every=_every(every), anchor=effective_at if anchor is None else _instant(anchor)),
            burn_class="rolled_over" if line.flag("rolled", "over") else "standard",
            rollover=_rollover(line),
            credit_type=_type(line),
        )

    def _burn(self, line: _Line, contract_id: str, common: dict[str, Any]) -> CreditBurn:
        amount = line.next()
        return CreditBurn(
            contract_id=None if line.flag("anywhere") else contract_id,
            seat_id=line.after("by"),
            seat_group_key=line.after("group") or "seat_id",
            amount=parse(amount),
            credit_type=_type(line),
            **common,
        )

    def _named_grant(self, line: _Line, contract_id: str) -> dict[str, Any]:
        grant_id = line.next()
        slice = line.after("slice")
        return {
            "grant_id": grant_id,
            "contract_id": None if line.flag("customer") else contract_id,
            "slice": None if slice is None else int(slice),
            "seat_id": line.after("seat"),
        }

    def _change(self, line: _Line, contract_id: str, at: Instant, common: dict[str, Any]) -> AnyFact:
        name, words = line.next(), line.rest()
        fields: dict[str, Any] = dict(zip(words[::2], words[1::2], strict=True))
        for key, value in fields.items():
            if key == "amount":
                fields[key] = parse(value)
            elif key in ("included_seats", "minimum_seats", "priority", "duration_periods"):
                fields[key] = int(value)
            elif value in ("yes", "no"):
                fields[key] = value == "yes"
            elif key == "unit_price":
                fields[key] = Price(amount=parse(value), currency="USD")
        if name in self.recurring:
            changes = RecurringCreditChanges(**fields)
            return RecurringCreditUpdated(contract_id=contract_id, recurring_credit_id=name, changes=changes, **common)
        return SubscriptionUpdated(
            contract_id=contract_id,
            subscription_id=name,
            starting_at=at,
            changes=SubscriptionChanges(**fields),
            **common,
        )

    def _end(self, line: _Line, contract_id: str, at: Instant, common: dict[str, Any]) -> AnyFact:
        name = line.next()
        end = FOREVER if line.flag("never") else at
        if name == "contract":
            return ContractEnded(contract_id=contract_id, ending_before=end, **common)
        if name in self.recurring:
            return RecurringCreditEnded(contract_id=contract_id, recurring_credit_id=name, ending_before=end, **common)
        return SubscriptionEnded(contract_id=contract_id, subscription_id=name, ending_before=end, **common)

    def _edit(
        self, kind: str, line: _Line, id: str, customer_id: str, contract_id: str, said: str | None
    ) -> SeatChange:
        version, sequence = line.after("version"), line.number("sequence")
        anywhere, code = line.flag("anywhere"), line.after("code")
        parts: list[list[str]] = [[kind]]
        for word in line.rest():
            if word == "and":
                parts.append([])
            else:
                parts[-1].append(word)
        # One `at` at the end is meant for all.
        named = [place for part in parts if (place := _Line(part).after("in")) is not None]
        subscription_id = named[0] if named else None if anywhere or code else self.subscription_id
        last = _instant(at) if (at := _Line(parts[-1]).after("at")) is not None else self.at
        operations = tuple(self._operation(_Line(part), last) for part in parts)
        self.at = max(operation.starting_at for operation in operations)
        return SeatChange(
            id=id,
            customer_id=customer_id,
            time=self.at if said is None else _instant(said),
            contract_id=None if anywhere else contract_id,
            subscription_id=subscription_id,
            feature_code=code,
            sequence=sequence,
            operations=operations,
            expected_version=None if version is None else {subscription_id or "": int(version)},
        )

    def _operation(self, line: _Line, otherwise: Instant) -> AnyOperation:
        kind = line.next()
        named = line.after("at")
        common: dict[str, Any] = {
            "starting_at": otherwise if named is None else _instant(named),
            "subscription_id": line.after("in"),
        }
        match kind:
            case "add":
                return AddSeats(seat_ids=_names(line.rest()), **common)
            case "remove":
                return RemoveSeats(seat_ids=_names(line.rest()), **common)
            case "set":
                return SetSeats(seat_ids=_names(line.rest()), **common)
            case "move":
                to = line.after("to")
                assert to is not None
                carrying = line.flag("carrying")
                return MoveSeat(from_seat_id=line.next(), to_seat_id=to, carry_balance=carrying, **common)
            case "quantity":
                number = line.next()
                if number[0] in "+-":
                    return ChangeQuantity(delta=int(number), **common)
                return SetQuantity(quantity=int(number), **common)
            case "unassigned":
                more = int(line.next())
                if more >= 0:
                    return AddUnassignedSeats(quantity=more, **common)
                return RemoveUnassignedSeats(quantity=-more, **common)
        raise AssertionError(f"no operation begins with {kind!r}")


_BROUGHT = ("subscription", "recurring", "grant")
_OPERATIONS = ("add", "remove", "set", "move", "quantity", "unassigned")


# --- little words ----------------------------------------------------------------------------------------------------


def _instant(written: str) -> Instant:
    """`2026-03-16T09:30`, `03-16`."""
    day, _, time = written.partition("T")
    day = day if len(day) == 10 else f"2026-{day}"
    return instant(f"{day}T{(time or '00:00').ljust(5, '0')}{':00' if time.count(':') < 2 else ''}Z")


def _day(at: Instant) -> str:
    return instant_text(at).removesuffix("T00:00:00Z")


def _every(written: str) -> Every:
    units = {"H": "hour", "D": "day", "W": "week", "M": "month", "Y": "year"}
    unit: Any = units[written[-1]]
    return Every(int(written.strip("PTHDWMY")), unit)


def _names(names: list[str]) -> tuple[SeatName, ...]:
    return tuple(SeatName(seat_id=name) for name in names)


def _rollover(line: _Line) -> Rollover | None:
    if not line.flag("rollover"):
        return None
    low, high = line.after("min"), line.after("max")
    return Rollover(min=0 if low is None else parse(low), max=None if high is None else parse(high))


def _rounding(line: _Line) -> Rounding:
    method: Any = line.after("rounded")
    return Rounding() if method is None else Rounding(method=method, decimals=int(line.next()))


def _type(line: _Line) -> str:
    return "tokens" if line.flag("tokens") else CREDITS


def _who(scope: Scope) -> str:
    if scope.contract_id is None:
        return "customer"
    return "pool" if scope.seat_id is None else scope.seat_id


def _line(entry: Entry, whose: bool) -> str:
    who = _who(entry.scope)
    parts = [entry.type, text(entry.amount or entry.beside), entry.grant_id or ""]
    return " ".join(part for part in (*parts, f"of {who}" if whose and who != "pool" else "") if part)


__all__ = ["Play", "Played", "facts", "play", "play_on", "play_on_model", "play_reopened"]

"""The bookkeeper without a broker: what leaves for which facts, batch by batch."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import pytest

from ledger import amounts
from ledger.amounts import UNIT
from ledger.answers import Balance
from ledger.facts import topic
from ledger.history import is_told
from ledger.instants import HOUR, SECOND, Instant, instant, text
from ledger.ledger import Ledger
from ledger.outcome import LawBroken
from streams.bookkeeper import Bookkeeper
from streams.fold import UNFINISHED, Output, Record
from streams.settings import Settings, read
from tables.memory import MemoryRows
from tables.overlay import DROP, Overlay
from tests.ledger.histories import HISTORY, draw_history
from tests.ledger.memory import Counting
from wire import answers
from wire.codec import write
from wire.control import tick

SETTINGS = read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_SNAPSHOT": "PT1H"})


class Desk:
    """A bookkeeper over rows in memory. Each `fold` is a batch that is committed; the clock stands where it is put."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.rows: MemoryRows | Counting = MemoryRows()
        self.keeper = Bookkeeper(settings, settings.topics)
        self.now = instant("2026-03-16T12:00:00Z")
        self.partition = 0
        self._offsets: Counter[str] = Counter()

    def restart(self) -> None:
        self.keeper = Bookkeeper(self.settings, self.settings.topics)

    def record(self, kind: str, value: bytes | None, now: Instant | None = None, key: bytes = b"key") -> Record:
        now = self.now if now is None else now
        self._offsets[kind] += 1
        return Record(kind, self.partition, self._offsets[kind] - 1, now // 1000, key, value, [("h", b"1")])

    def fold(self, *records: Record) -> list[Output]:
        """What leaves with a batch, and with the empty ones that go on where it was left unfinished."""
        outputs, unfinished = self.fold_once(*records)
        while unfinished:
            more, unfinished = self.fold_once()
            outputs += more
        return outputs

    def fold_once(self, *records: Record) -> tuple[list[Output], bool]:
        """What leaves with one batch, and whether it is unfinished."""
        overlay = Overlay(self.rows)
        said = list(self.keeper(self.partition, records, overlay))
        outputs = [output for output in said if output is not UNFINISHED]
        for table, rows in overlay.rows().items():
            for key, value in rows.items():
                if value is None:
                    self.rows.delete(table, key)
                elif key.startswith(DROP):
                    for gone in [key for key, _ in self.rows.scan(table, key.removeprefix(DROP), value)]:
                        self.rows.delete(table, gone)
                else:
                    self.rows.put(table, key, value)
        return outputs, len(outputs) < len(said)

    def say(self, kind: str, **fact: Any) -> list[dict[str, Any]]:
        """Folds one fact of acme's; what left on history-snapshot."""
        held = {"customer_id": "acme", "time": "2026-03-16T12:00:00Z"} | fact
        return snapshots(self.fold(self.record(kind, orjson.dumps(held))))

    def tick(self, text: str | None = None) -> list[Output]:
        """A second's tick, which says that it is now, or this."""
        return self.fold(self.record("control", tick(self.now if text is None else instant(text))))

    def at(self, text: str) -> "Desk":
        self.now = instant(text)
        return self


def snapshots(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    return [orjson.loads(output.value or b"") for output in outputs if output.kind == "history-snapshot"]


def letters(outputs: Sequence[Output]) -> list[tuple[str, bytes | None]]:
    return [
        (str(dict(output.headers)["seatstream.code"], "utf-8"), output.value)  # type: ignore[arg-type]
        for output in outputs
        if output.kind == "dead-letter"
    ]


def gist(said: dict[str, Any]) -> tuple[Any, ...]:
    if said["type"].startswith("balance"):
        return said["type"], said["scope"].get("seat_id", "pool"), said["balance"], said["time"]
    if said["type"] == "seats.charged":
        return said["type"], said["kind"], said["seats"], said["amount"], said["time"]
    if said["type"] == "charge.corrected":
        was = said["previous"]
        return said["type"], said["kind"], (was["seats"], was["amount"]), (said["seats"], said["amount"]), said["time"]
    return said["type"], said["previous_quantity"], said["quantity"], said["time"]


def contract(desk: Desk, **more: Any) -> list[dict[str, Any]]:
    """10 seats' worth of credits in a pool, and two seats with 5 of their own, from March on."""
    held = {
        "type": "contract.created", "id": "k", "contract_id": "c", "starting_at": "2026-03-01T00:00:00Z",
        "subscriptions": [
            {
                "subscription_id": "team", "mode": "seats", "seat_ids": ["ana", "bo"], "included_seats": 1,
                "unit_price": {"amount": "10", "currency": "EUR"},
            }
        ],
        "recurring_credits": [
            {"recurring_credit_id": "own", "subscription_id": "team", "allocation": "individual", "amount": "5",
             "every": "P1M"}
        ],
        "grants": [{"grant_id": "pool", "amount": "100"}],
    }  # fmt: skip
    return desk.say("contract-change", **(held | more))


def burn(desk: Desk, id: str, amount: str, time: str, seat_id: str | None = "ana") -> list[dict[str, Any]]:
    return desk.say("credit-burn", id=id, seat_id=seat_id, amount=amount, time=time)


def test_a_contract_says_its_seats_what_is_due_and_every_balance() -> None:
    assert [gist(said) for said in contract(Desk())] == [
        ("seats.changed", 0, 2, "2026-03-01T00:00:00Z"),
        ("seats.charged", "period", 1, "10", "2026-03-01T00:00:00Z"),
        ("balance.snapshot", "pool", "100", "2026-03-16T12:00:00Z"),
        ("balance.snapshot", "ana", "5", "2026-03-16T12:00:00Z"),
        ("balance.snapshot", "bo", "5", "2026-03-16T12:00:00Z"),
    ]


def test_a_scope_that_burns_is_said_once_an_hour() -> None:
    desk = Desk()
    contract(desk)

    assert burn(desk.at("2026-03-16T12:30:00Z"), "b1", "1", "2026-03-16T12:29:59Z") == []
    assert burn(desk.at("2026-03-16T12:59:59Z"), "b2", "1", "2026-03-16T12:59:58Z") == []
    (said,) = burn(desk.at("2026-03-16T13:00:00Z"), "b3", "0.5", "2026-03-16T12:59:59Z")
    assert gist(said) == ("balance.snapshot", "ana", "2.5", "2026-03-16T12:59:59.000001Z")
    assert (said["burned"], said["adjusted"], said["expired"]) == ("2.5", "0", "0")
    # It was quiet for long: no hour has to pass.
    (said,) = burn(desk.at("2026-03-16T17:00:00Z"), "b4", "0.5", "2026-03-16T16:59:59Z")
    assert gist(said)[2] == "2"
    assert said["cause"] == {"type": "credit-burn", "id": "b4"}


def test_a_burn_that_the_pool_pays_moves_the_pool() -> None:
    desk = Desk()
    contract(desk)

    (said,) = burn(desk.at("2026-03-16T14:00:00Z"), "b1", "4", "2026-03-16T13:59:59Z", seat_id=None)

    assert gist(said) == ("balance.snapshot", "pool", "96", "2026-03-16T13:59:59.000001Z")


def test_a_late_burn_corrects_what_was_said() -> None:
    desk = Desk()
    contract(desk)

    (said,) = burn(desk.at("2026-03-16T12:00:01Z"), "b1", "2", "2026-03-14T00:00:00Z")

    assert gist(said) == ("balance.corrected", "ana", "3", "2026-03-14T00:00:00Z")
    assert said["previous"]["balance"] == "5"
    assert said["cause"] == {"type": "credit-burn", "id": "b1"}
    assert said["as_of"]["event_time"] == "2026-03-16T12:00:00Z"


def test_one_correction_for_each_scope_and_batch() -> None:
    desk = Desk()
    contract(desk)
    burns = [
        {"id": f"b{n}", "customer_id": "acme", "seat_id": "ana", "amount": "1", "time": f"2026-03-1{n}T00:00:00Z"}
        for n in (4, 3, 5)
    ]

    (said,) = snapshots(desk.fold(*[desk.record("credit-burn", orjson.dumps(one)) for one in burns]))

    assert gist(said) == ("balance.corrected", "ana", "2", "2026-03-13T00:00:00Z")
    assert said["cause"]["id"] == "b3"


def test_what_ends_and_recurs_is_said_as_of_that_instant_when_the_clock_passes_it() -> None:
    desk = Desk()
    contract(desk)
    burn(desk.at("2026-03-16T14:00:00Z"), "b1", "2", "2026-03-16T13:59:59Z")

    said = burn(desk.at("2026-04-02T00:00:00Z"), "b2", "1", "2026-04-01T12:00:00Z", seat_id="bo")

    assert [gist(one) for one in said] == [
        ("seats.charged", "period", 1, "10", "2026-04-01T00:00:00Z"),
        ("balance.snapshot", "ana", "5", "2026-04-01T00:00:00Z"),
        ("balance.snapshot", "bo", "5", "2026-04-01T00:00:00Z"),
    ]
    assert [(one["burned"], one["expired"], one["cause"]["type"]) for one in said[1:]] == [
        ("0", "3", "time"),
        ("0", "5", "time"),
    ]


def test_an_edit_ahead_is_said_when_its_instant_comes() -> None:
    desk = Desk()
    contract(desk)
    ahead = {"op": "add_seats", "seat_ids": ["cy"], "starting_at": "2026-03-17T00:00:00Z"}

    assert desk.say("seat-change", id="e", contract_id="c", subscription_id="team", operations=[ahead]) == []
    said = burn(desk.at("2026-03-17T06:00:00Z"), "b1", "1", "2026-03-17T05:59:59Z", seat_id=None)

    changed, charged, balance, _ = said
    assert gist(changed) == ("seats.changed", 2, 3, "2026-03-17T00:00:00Z")
    assert (changed["added"], changed["cause"]) == (["cy"], {"type": "seat.changed", "id": "e"})
    # 15 of 31 days are left.
    assert (gist(charged)[1:3], charged["fraction"]) == (("increase", 1), "15/31")
    assert gist(balance)[:2] == ("balance.snapshot", "cy")


def test_what_was_charged_for_seats_that_a_late_edit_takes_away_is_taken_back() -> None:
    desk = Desk()
    contract(desk)
    edit = {"contract_id": "c", "subscription_id": "team"}
    adds = {"op": "add_seats", "seat_ids": ["cy", "di"], "starting_at": "2026-03-16T00:00:00Z"}
    desk.say("seat-change", id="e1", **edit, operations=[adds])
    one_less = {"op": "remove_seats", "seat_ids": ["di"], "starting_at": "2026-03-16T00:00:00Z"}
    none_came = {"op": "set_seats", "seat_ids": ["ana", "bo"], "starting_at": "2026-03-16T00:00:00Z"}

    corrected = [
        [gist(said) for said in desk.say("seat-change", id=id, **edit, operations=[late]) if "charge" in said["type"]]
        for id, late in (("e2", one_less), ("e3", none_came))
    ]

    time = "2026-03-16T00:00:00Z"
    assert corrected == [
        # Edits of one instant apply in the order of their ids: cy came, and di came and went.
        [("charge.corrected", "increase", (2, "10.322580645"), (1, "5.161290323"), time)],
        [("charge.corrected", "increase", (1, "5.161290323"), (0, "0"), time)],
    ]


def test_a_subscription_whose_end_is_taken_away_is_charged_for_the_time_since() -> None:
    desk = Desk().at("2026-03-01T00:00:00Z")
    contract(desk)
    ended = {"type": "subscription.ended", "contract_id": "c", "subscription_id": "team"}
    desk.say("contract-change", **ended, id="end", time=text(desk.now), ending_before="2026-03-20T00:00:00Z")
    for month in range(4, 12):
        desk.at(f"2026-{month:02}-25T00:00:00Z").tick()

    said = desk.say("contract-change", **ended, id="never", time=text(desk.now), ending_before="never")

    charged = [(one["time"][:7], one["amount"]) for one in said if one["type"] == "seats.charged"]
    assert charged == [(f"2026-{month:02}", "10") for month in range(4, 12)]


def test_a_late_end_takes_back_what_was_charged_for_the_time_after_it() -> None:
    desk = Desk()
    contract(desk)
    snapshots(desk.at("2026-04-02T00:00:00Z").tick())

    said = desk.say(
        "contract-change", type="contract.ended", id="end", contract_id="c", ending_before="2026-04-01T00:00:00Z"
    )

    assert [(gist(one), one["cause"]["id"]) for one in said if one["type"] == "charge.corrected"] == [
        (("charge.corrected", "period", (1, "10"), (0, "0"), "2026-04-01T00:00:00Z"), "end")
    ]


def test_a_late_edit_corrects_the_seats_that_were_said() -> None:
    desk = Desk()
    contract(desk)
    edit = {"contract_id": "c", "subscription_id": "team", "operations": [{"op": "add_seats", "seat_ids": ["cy"]}]}
    desk.say("seat-change", id="e1", **edit)
    late = {"op": "add_unassigned_seats", "quantity": 2, "starting_at": "2026-03-10T00:00:00Z"}

    said = desk.say("seat-change", id="e2", contract_id="c", subscription_id="team", operations=[late])

    corrected = next(one for one in said if one["type"] == "seats.corrected")
    assert gist(corrected) == ("seats.corrected", 3, 4, "2026-03-10T00:00:00Z")
    assert (corrected["previous"]["quantity"], corrected["cause"]["id"]) == (3, "e2")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"{", "unreadable"),
        (b'{"id": "b", "customer_id": "acme", "time": "2026-03-16T12:00:00Z"}', "missing_field"),
        (b'{"id": "b", "customer_id": "acme", "amount": "1e-12", "time": "2026-03-16T12:00:00Z"}', "amount_too_fine"),
        (b'{"id": "b", "customer_id": "acme", "amount": "1", "time": "2026-01-16T12:00:00Z"}', "too_late"),
        (b'{"id": "b", "customer_id": "acme", "amount": "1", "time": "2026-03-18T12:00:00Z"}', "time_in_future"),
        (b'"' + b"x" * (1 << 20) + b'"', "too_large"),
    ],
)
def test_what_cannot_be_folded_leaves_as_it_came(value: bytes, code: str) -> None:
    desk = Desk()

    (letter,) = desk.fold(desk.record("credit-burn", value))

    assert letters([letter]) == [(code, value)]
    assert (letter.key, letter.headers[0]) == (b"key", ("h", b"1"))
    headers = dict(letter.headers)
    assert headers["seatstream.topic"] == b"credit-burn"
    assert (headers["seatstream.offset"], headers["seatstream.timestamp"]) == (b"0", b"2026-03-16T12:00:00Z")


def test_what_waited_in_vain_leaves_as_it_came_from_where_it_came() -> None:
    desk = Desk()
    value = b'{"id": "b", "customer_id": "acme", "contract_id": "never", "amount": "1", "time": "2026-03-16T12:00:00Z"}'
    assert desk.fold(desk.record("credit-burn", b"{"), desk.record("credit-burn", value))[1:] == []
    desk.restart()

    desk.now += 10 * 60 * SECOND
    assert desk.tick() == []
    desk.now += SECOND
    (letter,) = desk.tick()

    assert letters([letter]) == [("wait_over", value)]
    headers = dict(letter.headers)
    assert (headers["seatstream.topic"], headers["seatstream.offset"]) == (b"credit-burn", b"1")
    assert headers["seatstream.timestamp"] == b"2026-03-16T12:00:00Z"


def test_a_header_without_a_value_may_wait() -> None:
    desk = Desk()
    value = b'{"id": "b", "customer_id": "acme", "contract_id": "never", "amount": "1", "time": "2026-03-16T12:00:00Z"}'
    record = msgspec.structs.replace(desk.record("credit-burn", value), headers=[("traced", None), ("h", b"1")])
    assert desk.fold(record) == []
    desk.restart()

    desk.now += HOUR
    (letter,) = desk.tick()

    assert letter.headers[:2] == (("traced", None), ("h", b"1"))


def test_what_lasts_beyond_the_year_9999_stops_nobody() -> None:
    desk = Desk()
    subscription = {
        "subscription_id": "team", "mode": "seats", "seat_ids": ["ana"], "included_seats": 0,
        "unit_price": {"amount": "10", "currency": "EUR"}, "billing_period": {"every": "P9999Y"},
    }  # fmt: skip
    credit = {
        "recurring_credit_id": "own", "subscription_id": "team", "allocation": "individual", "amount": "5",
        "every": "P999999W", "duration_periods": 1_000,
    }  # fmt: skip

    _, charged, _, seat = contract(desk, subscriptions=[subscription], recurring_credits=[credit])

    assert charged["period"] == {"from": "2026-03-01T00:00:00Z", "to": None}
    assert seat["grants"][0]["expires_at"] is None


def test_a_fact_in_the_wrong_partition_is_sent_to_the_right_one_and_not_folded_here() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "8"}))
    right = desk.settings.topics.partition_of(b"acme")
    value = b'{"id": "b", "customer_id": "acme", "amount": "1", "time": "2026-03-16T12:00:00Z"}'
    desk.partition = right ^ 1
    astray = msgspec.structs.replace(desk.record("credit-burn", value), key=None)

    (forwarded,) = desk.fold(astray)

    headers = [("h", b"1"), ("seatstream.forwarded", b"%d" % (right ^ 1))]
    assert forwarded == Output("credit-burn", b"acme", value, headers, right)
    assert Ledger(Overlay(desk.rows)).customers() == []


def test_a_fact_that_was_forwarded_to_a_wrong_partition_goes_no_further() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "8"}))
    right = desk.settings.topics.partition_of(b"acme")
    value = b'{"id": "b", "customer_id": "acme", "amount": "1", "time": "2026-03-16T12:00:00Z"}'
    desk.partition = right ^ 1
    astray = msgspec.structs.replace(desk.record("credit-burn", value), headers=[("seatstream.forwarded", b"3")])

    (letter,) = desk.fold(astray)

    assert letters([letter]) == [("unknown_value", value)]
    assert f"belongs to partition {right}".encode() in (dict(letter.headers)["seatstream.message"] or b"")
    assert Ledger(Overlay(desk.rows)).customers() == []


def test_a_fact_without_a_key_in_the_right_partition_is_folded_there() -> None:
    desk = Desk()
    contract(desk)
    value = b'{"id": "b", "customer_id": "acme", "amount": "1", "time": "2026-03-16T12:00:00Z"}'

    outputs = desk.fold(msgspec.structs.replace(desk.record("credit-burn", value), key=None))

    assert letters(outputs) == []
    assert Ledger(Overlay(desk.rows)).balances("acme", desk.now + 1)[0].balance == 99 * amounts.UNIT


def test_a_refusal_is_said_each_time_and_a_repeat_not_at_all() -> None:
    desk = Desk()
    contract(desk)
    again = desk.record("contract-change", b'{"type": "contract.created", "id": "k2", "customer_id": "acme", '
                        b'"contract_id": "c", "time": "2026-03-16T12:00:00Z"}')  # fmt: skip

    assert [code for code, _ in letters(desk.fold(again, again))] == ["already_exists", "already_exists"]
    assert contract(desk) == []


def test_a_broken_law_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise LawBroken("L14", "a sum is off")

    desk = Desk()
    contract(desk)
    monkeypatch.setattr("ledger.ledger.Ledger.fold", broken)

    with pytest.raises(LawBroken):
        burn(desk, "b1", "1", "2026-03-16T12:00:00Z")


def test_a_batch_that_was_lost_is_not_remembered() -> None:
    desk = Desk()
    contract(desk)
    for number in range(3):
        burn(desk, f"b{number}", "1", f"2026-03-16T12:00:0{number}Z")
    lost = {"id": "lost", "customer_id": "acme", "seat_id": "ana", "amount": "1", "time": "2026-03-16T12:00:05Z"}
    list(desk.keeper(0, [desk.record("credit-burn", orjson.dumps(lost))], Overlay(desk.rows)))
    desk.keeper.forget(0)

    burn(desk, "b3", "1", "2026-03-16T12:00:06Z")

    [ana, *_] = Ledger(Overlay(desk.rows)).balances("acme", instant("2026-03-17T00:00:00Z"), seat_id="ana")
    assert amounts.text(ana.balance) == "1"


@pytest.mark.parametrize("seed", range(12))
def test_whoever_goes_on_after_a_restart_says_the_same(seed: int) -> None:
    steady, restarted = History(seed), History(seed)

    said = steady.play(restarts=False)

    assert restarted.play(restarts=True) == said
    assert restarted.desk.rows.tables == steady.desk.rows.tables


@pytest.mark.parametrize("seed", range(12))
def test_what_was_said_last_of_a_subscription_and_of_a_pool_is_true_and_no_id_comes_twice(seed: int) -> None:
    history = History(seed)
    said = snapshots(history.play(restarts=True))
    ledger = Ledger(Overlay(history.desk.rows), **HISTORY)

    assert max(Counter((one["snapshot_id"], one.get("part")) for one in said).values()) == 1
    last = {
        (one["customer_id"], one["contract_id"], one.get("subscription_id"), one.get("credit_type")): one
        for one in said
        if one["type"] in ("seats.changed", "seats.corrected") or "pool" in one.get("scope", {})
    }
    for (customer_id, contract_id, subscription_id, credit_type), one in last.items():
        at = instant(one["as_of"]["event_time"])
        if subscription_id is not None:
            counts = {of.subscription_id: of for of in ledger.counts(customer_id, contract_id, at)}[subscription_id]
            assert (one["quantity"], one["assigned"]) == (counts.total, counts.assigned)
        else:
            assert one["balance"] == _pool(ledger.balances(customer_id, at), contract_id, credit_type)


@pytest.mark.parametrize("seed", range(60))
def test_charges_and_their_corrections_are_in_the_end_what_is_due(seed: int) -> None:
    history = History(seed)
    said = [
        one for one in snapshots(history.play(restarts=False)) if one["type"] in ("seats.charged", "charge.corrected")
    ]

    last: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in said:
        which = tuple(one[name] for name in ("customer_id", "contract_id", "subscription_id", "kind", "since"))
        before = last.get(which)
        assert one.get("previous") == (None if before is None else {k: before[k] for k in PRICED if k in before}), one
        last[which] = one
    assert len({one["snapshot_id"] for one in said}) == len(said)

    ledger, now = Ledger(Overlay(history.desk.rows), **HISTORY), max(arrived_at for _, arrived_at in history.facts)
    due = {
        (name, of.contract_id, of.subscription_id, of.kind, text(of.since)): answers.charge(of)
        for name in {fact.customer_id for fact, _ in history.facts}
        for of in ledger.charges(name, now)
    }
    assert {which for which, one in last.items() if one["seats"]} == set(due)
    for which, held in due.items():
        assert {name: last[which].get(name) for name in held} == held


#: What a correction repeats of what had been said.
PRICED = ("seats", "fraction", "unit_price", "amount")


def _pool(balances: Sequence[Balance], contract_id: str | None, credit_type: str | None) -> str:
    for of in balances:
        scope = of.scope
        if scope.seat_id is None and scope.contract_id == contract_id and scope.credit_type == credit_type:
            return amounts.text(of.balance)
    return "0"


class History:
    """A random history, in batches that are cut the same each time."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.facts = draw_history(random.Random(seed), 25)
        bounds = {f"SEATSTREAM_{name.upper()}": f"PT{span // HOUR}H" for name, span in HISTORY.items()}
        self.desk = Desk(read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_SNAPSHOT": "P1D", **bounds}))

    def play(self, *, restarts: bool) -> list[Output]:
        records = [self.desk.record(topic(fact), write(fact), arrived_at) for fact, arrived_at in self.facts]
        outputs: list[Output] = []
        while records:
            size = self.chance.randint(1, 8)
            outputs += self.desk.fold(*records[:size])
            del records[:size]
            if restarts:
                self.desk.restart()
        return outputs


def test_burns_older_than_the_history_leave_the_trail_and_the_balance_stays() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_HISTORY": "P92D"}))
    contract(desk)
    burns = [desk.record("credit-burn", orjson.dumps(_old_burn(n))) for n in range(1_200)]
    desk.fold(*burns)
    assert len(list(desk.rows.scan("trail", b"b", b"c"))) == 1_200

    desk.at("2026-08-01T00:00:00Z").tick()
    assert len(list(desk.rows.scan("trail", b"b", b"c"))) == 1_200  # the clock may be wrong once
    _, unfinished = desk.fold_once(desk.record("control", tick(instant("2026-08-01T00:00:01Z")), desk.now + SECOND))
    assert unfinished
    desk.fold()

    assert not list(desk.rows.scan("trail", b"b", b"c")) and not list(desk.rows.scan("trail", b"x", b"y"))
    assert len(list(desk.rows.scan("state", b"b", b"c"))) == 1  # of one scope and day, over three steps
    ledger = Ledger(Overlay(desk.rows))
    assert ledger.balances("acme", instant("2026-03-17T00:00:00Z"))[0].balance == 88 * UNIT


def test_what_a_contract_burned_leaves_once_it_ended_longer_ago_than_the_history() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "1", "SEATSTREAM_HISTORY": "P92D"}))
    contract(desk, ending_before="2026-03-20T00:00:00Z")
    desk.fold(*[desk.record("credit-burn", orjson.dumps(_old_burn(n))) for n in range(10)])
    for day in ("2026-07-20", "2026-07-21", "2026-08-01", "2026-08-02"):
        desk.at(f"{day}T00:00:00Z").tick()
    desk.restart()

    assert not [key for tag in (b"b", b"x", b"T", b"Y") for key, _ in desk.rows.scan("state", tag, tag + b"\xff")]
    ledger = Ledger(Overlay(desk.rows))
    assert not is_told(ledger.book, "acme", instant("2026-03-19T00:00:00Z"))
    assert [each.balance for each in ledger.balances("acme", instant("2026-03-20T00:00:00Z"))] == [0, 0, 0]

    late = {
        "type": "contract.ended", "id": "late", "customer_id": "acme", "contract_id": "c",
        "time": "2026-08-02T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    (letter,) = desk.fold(desk.record("contract-change", orjson.dumps(late)))
    assert orjson.loads(letter.value or b"")["id"] == "late"
    assert dict(letter.headers)["seatstream.code"] == b"too_late"


def _old_burn(number: int) -> dict[str, Any]:
    time = text(instant("2026-03-16T10:00:00Z") + number * SECOND)
    return {"id": f"b{number}", "customer_id": "acme", "amount": "0.01", "time": time}

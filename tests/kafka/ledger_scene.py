"""A scene with the real ledger: random histories go in, and the naive model says what must have come of them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from ledger.answers import Balance
from ledger.facts import AnyFact, Topic, Value, topic
from ledger.instants import DAY, FOREVER, HOUR, ORIGIN, SECOND, Every, Instant, Span, instant
from ledger.ledger import Ledger
from ledger.outcome import Folded, Outcome, Refusal, Refused, Repeated, Waiting
from tables.memory import MemoryRows
from tables.overlay import Overlay
from tables.shard import Shard
from tables.store import Memory
from tests.alerts.truth import due, heard_must_be_true, in_force, last_said, rows_must_be_true
from tests.kafka.scene import Scene
from tests.ledger.duel import gist
from tests.ledger.histories import draw_history
from tests.ledger.model import Model
from tests.wire.exact import Exact, closed, loads
from wire import answers
from wire.codec import Unreadable, read, write
from wire.control import Tick, read_control
from wire.rules import Archived, Rule, read_rule, write_rule
from wire.schemas import documents
from wire.topics import FORWARDED, INPUTS, Topics

#: Histories play in the past, and arrive now: what is late is for the ledger's own tests.
BOUNDS: Final = {"lateness": 3_650 * DAY, "ahead": 24 * HOUR, "wait": 2 * SECOND}
CUSTOMERS, FACTS = 24, 24
FACT_TOPICS = ("contract-change", "seat-change", "credit-burn")

SNAPSHOT = Exact(closed(documents()["history-snapshot.schema.json"]))

#: Where a message was found: topic, partition, offset.
Place = tuple[str, int, int]


class Letter(NamedTuple):
    """A dead letter: where its message came from, why it lies there, and the message."""

    place: Place
    code: str
    key: bytes | None
    value: bytes | None


class LedgerScene(Scene):
    """Customers with a history each; workers that fold them."""

    program = "tests.kafka.ledger_worker"
    settings = {"SEATSTREAM_LATENESS": "P3650D", "SEATSTREAM_WAIT": "PT2S", "SEATSTREAM_SNAPSHOT": "PT1S"}

    def __init__(self, broker: str, prefix: str, directory: Path, partitions: int = 4) -> None:
        super().__init__(broker, prefix, directory, partitions)
        self.instants: dict[str, list[Instant]] = {}
        self._hurry = asyncio.Event()

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Histories are told while this is open; what is left of them comes at once then."""
        telling = asyncio.create_task(self.tell(30))
        try:
            yield
        finally:
            self._hurry.set()
            await telling

    async def tell(self, seconds: float) -> None:
        """Sends every history, in order for each customer, all of them at once and for about so long; then one burn
        to each partition after the longest wait, which lets time pass there."""
        async with AIOKafkaProducer(**self.kafka, linger_ms=0) as producer:
            tasks = [
                self._tell_one(producer, number, history, seconds)
                for number, history in enumerate(histories(CUSTOMERS))
            ]
            await asyncio.gather(*tasks)
            await asyncio.sleep(BOUNDS["wait"] / SECOND + 0.5)
            for partition in range(self.topics.partitions):
                await self._send(producer, "credit-burn", partition, b"time passes", b"{}")

    async def _tell_one(
        self, producer: AIOKafkaProducer, number: int, history: Sequence[AnyFact], seconds: float
    ) -> None:
        chance = random.Random(number)
        for fact in history:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), chance.random() * 2 * seconds / len(history))
            self.instants.setdefault(fact.customer_id, []).append(fact.time)
            key = fact.customer_id.encode()
            partition = self.topics.partition_of(key)
            await self._send(producer, topic(fact), partition, key, write(fact))
            if chance.random() < 0.02:
                await self._send(producer, chance.choice(FACT_TOPICS), partition, key, b'{"id": "no fact"')

    async def _send(self, producer: AIOKafkaProducer, kind: str, partition: int, key: bytes, value: bytes) -> None:
        await producer.send_and_wait(self.topics.name(kind), value, key=key, partition=partition)

    # --- what must be true ---

    async def must_agree(self, *disks: str) -> None:
        """Dead letters, balances and what was said last are what the naive model says of the same facts. The workers with
        these disks are gone; each partition's rows are taken from the disk that wrote last."""
        chunks = await self.chunks()
        letters = Counter([_letter(record) for record in await self.read("dead-letter")])
        shards = self._newest(disks)
        expected: Counter[Letter] = Counter()
        said = [orjson.loads(record.value) for record in await self.read("history-snapshot")]
        alerts = await self.read("threshold-alert")
        _one_crossing_one_id(alerts)
        try:
            for partition in range(self.topics.partitions):
                model = Model(**BOUNDS)
                times = Times(chunks[partition], self.topics, self.settings.get("SEATSTREAM_CLOCK"))
                expected.update(_fold(model, times, self.topics))
                rows = Overlay(shards[partition])
                self._alerts_must_agree(rows, times, [one for one in alerts if one.partition == partition])
                mine = [name for name in self.instants if self.topics.partition_of(name.encode()) == partition]
                self._balances_must_agree(model, Ledger(rows, **BOUNDS), mine)
                said_of_mine = [one for one in said if one["customer_id"] in mine]
                _last_said_must_agree(model, said_of_mine)
                _charges_must_agree(model, said_of_mine)
        finally:
            for shard in shards.values():
                shard.close()
        assert letters == expected
        taken = [record for one in chunks.values() for chunk in one for record in chunk]
        self._forwarded_once(taken)
        self._rules_copied_once(taken)
        for record in (await self.read("history-snapshot"))[:: max(1, len(said) // 300)]:
            SNAPSHOT.validate(loads(record.value))
        again = Counter((one["snapshot_id"], one.get("part")) for one in said)
        assert [which for which, times in again.items() if times > 1] == []

    async def chunks(self) -> dict[int, list[list[ConsumerRecord]]]:
        """The records of each partition in the order in which they were folded, transaction by transaction."""
        inputs = {kind: await self.read(kind) for kind in INPUTS}
        found: dict[int, list[list[ConsumerRecord]]] = {partition: [] for partition in range(self.topics.partitions)}
        reached: dict[tuple[int, str], int] = {}
        for entry in await self.read("journal"):
            taken = []
            for kind, (start, stop) in orjson.loads(entry.value)["inputs"].items():
                assert start == reached.get((entry.partition, kind), 0), "nothing is lost, nothing is doubled"
                reached[entry.partition, kind] = stop
                taken += [
                    record
                    for record in inputs[kind]
                    if record.partition == entry.partition and start <= record.offset < stop
                ]
            taken.sort(
                key=lambda record: (record.timestamp, INPUTS.index(self.topics.kind(record.topic)), record.offset)
            )
            found[entry.partition].append(taken)
        return found

    def _forwarded_once(self, records: Iterable[ConsumerRecord]) -> None:
        """What came in the wrong partition came once more, in the right one."""
        left, come = Counter[Any](), Counter[Any]()
        for record in records:
            kind = self.topics.kind(record.topic)
            if kind not in FACT_TOPICS:
                continue
            source = dict(record.headers).get(FORWARDED)
            if source is not None:
                come[kind, record.value, int(source)] += 1
                continue
            fact = read(cast(Topic, kind), record.key, record.value, record.headers)
            if isinstance(fact, Unreadable) or self.topics.partition_of(fact.customer_id.encode()) == record.partition:
                continue
            left[kind, record.value, record.partition] += 1
        assert come == left

    def _rules_copied_once(self, records: Iterable[ConsumerRecord]) -> None:
        """Each rule that can be read came once to every partition."""
        said, come = Counter[Any](), Counter[Any]()
        for record in records:
            kind = self.topics.kind(record.topic)
            if kind == "alert-rule":
                rule = read_rule(record.key, record.value, record.headers)
                if not isinstance(rule, Unreadable):
                    said.update((partition, write_rule(rule)) for partition in range(self.topics.partitions))
            elif kind == "control" and isinstance(read_control(record.value), Rule | Archived):
                come[record.partition, record.value] += 1
        assert come == said

    def _alerts_must_agree(self, rows: Overlay, times: "Times", alerts: Sequence[ConsumerRecord]) -> None:
        """What was said last of each crossing, and what the rows know of it, is what the naive model of alerts says."""
        told = [(what, now) for _, _, what, now in times if isinstance(what, Rule | Archived)]
        rules = in_force(told)
        expected = due(Ledger(rows, **BOUNDS), rules, times.end)
        heard_must_be_true(last_said(map(_heard, alerts)), expected, told)
        rows_must_be_true(rows, rules, expected, times.end)

    def _balances_must_agree(self, model: Model, ledger: Ledger, customers: Sequence[str]) -> None:
        assert set(ledger.customers()) >= set(model.customers())
        for customer_id in customers:
            told = sorted(set(self.instants[customer_id]))
            for at in (told[0], told[len(told) // 2], told[-1] + 1, told[-1] + 40 * DAY):
                mine = [_plain(balance) for balance in ledger.balances(customer_id, at)]
                theirs = [_plain(balance) for balance in model.balances(customer_id, at)]
                assert mine == theirs, f"{customer_id} at {at}"

    def _newest(self, disks: Sequence[str]) -> dict[int, Shard]:
        newest: dict[int, Shard] = {}
        for disk in disks:
            for path in sorted((self.directory / disk).glob("*/*/state-*")):
                if path.suffix == ".aside":
                    continue
                shard = Shard(int(path.name.removeprefix("state-")), path.parent, Memory())
                held = newest.get(shard.partition)
                if held is None or _reached(held) < _reached(shard):
                    newest[shard.partition], shard = shard, held  # type: ignore[assignment]
                if shard is not None:
                    shard.close()
        return newest


def _last_said_must_agree(model: Model, said: Sequence[dict[str, Any]]) -> None:
    """The last word on each scope and subscription is true as of the instant for which it was said."""
    last: dict[Any, dict[str, Any]] = {}
    for one in said:
        if one["type"] in ("seats.changed", "seats.corrected"):
            last[one["customer_id"], one["contract_id"], one["subscription_id"]] = one
        elif one["type"].startswith("balance.") and one["part"] == 1:
            last[one["customer_id"], one["contract_id"], one["credit_type"], str(one["scope"])] = one
    for one in last.values():
        at = instant(one["as_of"]["event_time"])
        if "subscription_id" in one:
            counts = {of.subscription_id: of for of in model.counts(one["customer_id"], one["contract_id"], at)}
            of = counts[one["subscription_id"]]
            assert (one["quantity"], one["assigned"], one["included"]) == (of.total, of.assigned, of.included), one
            continue
        theirs = {
            (of.scope.contract_id, of.scope.credit_type, str(answers.scope(of.scope))): answers.balance(of)
            for of in model.balances(one["customer_id"], at)
        }.get(
            (one["contract_id"], one["credit_type"], str(one["scope"])),
            {"balance": "0", "overage": "0", "granted": "0"},
        )
        assert [one[name] for name in ("balance", "overage", "granted")] == [
            theirs[name] for name in ("balance", "overage", "granted")
        ], one


def _charges_must_agree(model: Model, said: Sequence[dict[str, Any]]) -> None:
    """The last words on all charges of a customer are what is due, up to the last one."""
    last: dict[str, dict[tuple[str | None, ...], dict[str, Any]]] = {}
    for one in said:
        if one["type"] in ("seats.charged", "charge.corrected"):
            which = one["contract_id"], one["subscription_id"], one["kind"], one["since"]
            last.setdefault(one["customer_id"], {})[which] = one
    for customer_id, ours in last.items():
        until = max(instant(one["time"]) for one in ours.values())
        theirs = {
            (of.contract_id, of.subscription_id, of.kind, answers.instant(of.since)): answers.charge(of)
            for of in model.charges(customer_id, until)
        }
        assert {which for which, one in ours.items() if one["seats"]} == set(theirs), customer_id
        for which, held in theirs.items():
            assert {name: ours[which].get(name) for name in held} == held, ours[which]


def _reached(shard: Shard) -> int:
    position = shard.state.position()
    return -1 if position is None else position.offset


def _plain(balance: Balance) -> Any:
    grants = tuple((one.grant_id, one.slice, one.balance, one.granted) for one in balance.grants)
    return balance.scope, balance.balance, balance.granted, balance.overage, grants


def _letter(record: ConsumerRecord) -> Letter:
    of = {name.removeprefix("seatstream."): value.decode() for name, value in record.headers}
    return Letter((of["topic"], int(of["partition"]), int(of["offset"])), of["code"], record.key, record.value)


class Times:
    """The records of a partition in the order in which they were folded, each with its kind, what it says where that is of
    `control`, and what time it was then. `clock` as in SEATSTREAM_CLOCK."""

    def __init__(self, chunks: list[list[ConsumerRecord]], topics: Topics, clock: str | None) -> None:
        self.clock = clock
        self.end: Instant = ORIGIN
        self._told: list[tuple[ConsumerRecord, str, object, Instant]] = []
        for record in (record for chunk in chunks for record in chunk):
            kind = topics.kind(record.topic)
            said = read_control(record.value) if kind == "control" else None
            told = record.timestamp * 1000
            if clock == "topic":
                told = said.time if isinstance(said, Tick) else self.end
            self.end = max(self.end, told)
            self._told.append((record, kind, said, self.end))

    def __iter__(self) -> Iterator[tuple[ConsumerRecord, str, object, Instant]]:
        return iter(self._told)


def _fold(model: Model, times: Times, topics: Topics) -> Iterator[Letter]:
    """What the model refuses of these records."""
    before: Instant | None = None
    sources: dict[tuple[str, str, str], ConsumerRecord] = {}
    for record, kind, said, now in times:
        if before is None or now > before:
            before = now
            for fact, outcome in model.advance(now):
                yield from _refused(sources[_identity(fact)], outcome)
        if isinstance(said, Refusal):
            yield _letter_of(record, said.code)
        if kind == "alert-rule":
            rule = read_rule(record.key, record.value, record.headers)
            if isinstance(rule, Unreadable):
                yield _letter_of(record, rule.refusal.code)
        if kind not in FACT_TOPICS:
            continue
        read_as = read(cast(Topic, kind), record.key, record.value, record.headers)
        if isinstance(read_as, Unreadable):
            yield _letter_of(record, read_as.refusal.code)
            continue
        if topics.partition_of(read_as.customer_id.encode()) != record.partition:
            continue  # it is forwarded
        outcome = model.fold(read_as, now if times.clock == "topic" else record.timestamp * 1000)
        settled = model.settled()
        if isinstance(outcome, Waiting):
            sources[_identity(read_as)] = record
        yield from _refused(record, outcome)
        for fact, what in settled:
            yield from _refused(sources[_identity(fact)], what)


def _refused(record: ConsumerRecord, outcome: Outcome) -> Iterator[Letter]:
    if isinstance(outcome, Repeated):
        outcome = outcome.first
    if isinstance(outcome, Refused):
        yield _letter_of(record, outcome.refusal.code)


def _letter_of(record: ConsumerRecord, code: str) -> Letter:
    return Letter((record.topic, record.partition, record.offset), code, record.key, record.value)


class Heard(NamedTuple):
    """A word of an alert."""

    alert_id: str
    rule_id: str
    state: str
    late: bool


def _heard(record: ConsumerRecord) -> Heard:
    said = orjson.loads(record.value)
    return Heard(said["alert_id"], said["rule_id"], said["state"], said.get("late", False))


def _one_crossing_one_id(alerts: Iterable[ConsumerRecord]) -> None:
    """An id never means two things (L18)."""
    about: dict[str, Any] = {}
    for record in alerts:
        said = orjson.loads(record.value)
        names = (
            "customer_id",
            "contract_id",
            "subscription_id",
            "seat_group_key",
            "seat_id",
            "rule_id",
            "metric",
            "level",
        )
        this = [said.get(name) for name in names]
        assert about.setdefault(said["alert_id"], this) == this, said["alert_id"]


def _identity(fact: AnyFact) -> tuple[str, str, str]:
    return fact.customer_id, topic(fact), fact.id


# --- the histories ---------------------------------------------------------------------------------------------------


@cache
def histories(count: int) -> list[list[AnyFact]]:
    """So many histories that end now, and on which the ledger and the model agree without Kafka: where they don't, tests/ledger
    says so."""
    found: list[list[AnyFact]] = []
    seed = 0
    while len(found) < count:
        history = [fact for fact, _ in draw_history(random.Random(seed), FACTS)]
        span = (int(time.time()) * SECOND - max(fact.time for fact in history)) // HOUR * HOUR
        moved = retold(history, span, f"-{seed}")
        if agreed(moved):
            found.append(moved)
        seed += 1
    return found


def retold(history: Sequence[AnyFact], later: Span, suffix: str) -> list[AnyFact]:
    """The same of another customer, so much later."""
    return [msgspec.structs.replace(_later(fact, later), customer_id=f"{fact.customer_id}{suffix}") for fact in history]


_INSTANTS = {"time", "starting_at", "ending_before", "effective_at", "expires_at", "voided_at", "anchor"}


def _later(value: Any, span: Span) -> Any:
    """The same, so much later."""
    if isinstance(value, tuple) and not isinstance(value, Every):
        return tuple(_later(item, span) for item in value)
    if not isinstance(value, Value):
        return value
    held = {name: getattr(value, name) for name in value.__struct_fields__}
    return msgspec.structs.replace(
        value,
        **{
            name: item + span if name in _INSTANTS and item is not None and item != FOREVER else _later(item, span)
            for name, item in held.items()
        },
    )


def agreed(history: Sequence[AnyFact]) -> bool:
    """Whether the ledger and the model say the same of it."""
    ledger, model = Ledger(MemoryRows(), **BOUNDS), Model(**BOUNDS)
    now = max(fact.time for fact in history)
    try:
        for n, fact in enumerate(history):
            now += SECOND // 5
            mine = [*ledger.advance(now), (fact, ledger.fold(fact, now)), *ledger.settled()]
            theirs = [*model.advance(now), (fact, model.fold(fact, now)), *model.settled()]
            if [(of.id, _gist(what)) for of, what in mine] != [(of.id, _gist(what)) for of, what in theirs]:
                return False
            if n % 3 == 0:
                ledger.flush()
        for at in sorted({fact.time for fact in history})[::3]:
            for customer_id in {fact.customer_id for fact in history}:
                mine_now = [_plain(balance) for balance in ledger.balances(customer_id, at)]
                if mine_now != [_plain(balance) for balance in model.balances(customer_id, at)]:
                    return False
    except (AssertionError, ArithmeticError, LookupError, RecursionError, ValueError):
        return False
    return True


def _gist(outcome: Outcome) -> Any:
    return "folded" if isinstance(outcome, Folded) else gist(outcome)

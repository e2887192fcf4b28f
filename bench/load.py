"""What is published for `bench.stream`: contracts, rules, and burns by the hundred thousand, stamped as they are sent."""

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from bench.customers import PLENTY, contract, customer_id, mixed, seat_id
from ledger import amounts, instants
from ledger.amounts import UNIT, Amount
from ledger.facts import AnyFact, topic
from ledger.instants import DAY, MINUTE, SECOND, Instant
from wire.codec import write
from wire.topics import Topics

#: A topic, whose it is, the message.
Told = tuple[str, str, bytes]
#: So many burns bear one time, where none of them is late.
ALIKE = 50
MONTHLY = 40 * UNIT


def now() -> Instant:
    return time.time_ns() // 1000


@dataclass
class Load:
    """Customers and what they burn. `rules`: three levels on every seat, two on every pool. `crossing`: burns so small that
    one in so many crosses a level, whether there are rules or not."""

    customers: int = 500
    seats: int = 20
    dry: bool = False
    jitter_s: int = 0
    once: bool = False
    rules: bool = False
    crossing: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(7))
    _number: int = 0

    def opening(self) -> Iterator[list[Told]]:
        """What comes before the burns that are measured, in portions: each is folded before the next is told."""
        opened = now() - 2 * MINUTE
        yield [_told(fact) for fact in self._facts(opened - 10 * DAY, opened)]
        if self.crossing:
            yield self._each_seat(MONTHLY)
        if self.rules:
            # Then: whoever is below a level by now is told of once, and need not cross it.
            yield [("alert-rule", rule["rule_id"], orjson.dumps(rule)) for rule in RULES]
        if self.crossing:
            # The first burn of a seat after a rule came is looked at from near.
            yield self._each_seat(2)

    def _each_seat(self, most: Amount) -> list[Told]:
        at = instants.text(now())
        return [
            self._burn(number, seat, at, self._chance.randrange(1, most))
            for number in range(self.customers)
            for seat in range(self.seats)
        ]

    def burns(self, count: int) -> Iterator[Told]:
        """The next burns."""
        chance = self._chance
        most = 2 * MONTHLY // (3 * self.crossing) if self.crossing else 5 * UNIT
        places = self._places(count)
        for n, (number, seat) in enumerate(places):
            if self.jitter_s:
                at = instants.text(now() - chance.randrange(self.jitter_s * SECOND))
            elif n % ALIKE == 0:
                at = instants.text(now())
            yield self._burn(number, seat, at, chance.randrange(1, most))

    def _places(self, count: int) -> Iterable[tuple[int, int]]:
        chance, first = self._chance, self._number
        if not self.once:
            return ((chance.randrange(self.customers), chance.randrange(self.seats)) for _ in range(count))
        # Each seat once, in an order that jumps about: the step has no divisor in common with how many there are.
        there = self.customers * self.seats
        return (divmod((first + n) * 7_919 % there, self.seats) for n in range(count))

    def _facts(self, signed: Instant, opened: Instant) -> Iterator[AnyFact]:
        if not self.crossing:
            return mixed(self.customers, self.seats, dry=self.dry, signed=signed, opened=opened)
        return (
            contract(
                customer_id(number), [seat_id(number, n) for n in range(self.seats)],
                monthly=MONTHLY, pool=PLENTY, signed=signed,
            )
            for number in range(self.customers)
        )  # fmt: skip

    def _burn(self, number: int, seat: int, at: str, amount: Amount) -> Told:
        self._number += 1
        customer = customer_id(number)
        value = (
            f'{{"id":"burn-{self._number:09d}","customer_id":"{customer}","seat_id":"{seat_id(number, seat)}",'
            f'"amount":"{amounts.text(amount)}","time":"{at}"}}'
        )
        return "credit-burn", customer, value.encode()


def _told(fact: AnyFact) -> Told:
    return topic(fact), fact.customer_id, write(fact)


RULES: tuple[dict[str, Any], ...] = (
    {"rule_id": "seats", "name": "seats", "metric": "balance", "scope": "seat", "levels": ["20", "10", "0"]},
    {"rule_id": "pools", "name": "pools", "metric": "balance_percent", "scope": "pool", "levels": ["10", "0"]},
)


class Sender:
    """Publishes in large batches, and knows how far each input of each partition goes."""

    def __init__(self, topics: Topics, kafka: Mapping[str, Any]) -> None:
        self._topics = topics
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._keys: dict[str, tuple[bytes, int]] = {}
        self.ends: dict[str, list[int]] = {}

    async def send(self, told: Iterable[Told]) -> None:
        """Returns when all of it has arrived."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(**self._kafka, max_batch_size=1 << 19, max_request_size=4 << 20)
            await self._producer.start()
        producer, batches, sent = self._producer, dict[tuple[str, int], Any](), []
        for kind, whose, value in told:
            key, partition = self._key(whose)
            place = kind, partition
            batch = batches.get(place)
            if batch is None or batch.append(timestamp=None, key=key, value=value) is None:
                if batch is not None:
                    sent.append(await producer.send_batch(batch, self._topics.name(kind), partition=partition))
                batch = batches[place] = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
            self.ends.setdefault(kind, [0] * self._topics.partitions)[partition] += 1
        for (kind, partition), batch in batches.items():
            sent.append(await producer.send_batch(batch, self._topics.name(kind), partition=partition))
        for arrival in sent:
            await arrival

    async def end(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    def _key(self, whose: str) -> tuple[bytes, int]:
        found = self._keys.get(whose)
        if found is None:
            found = self._keys[whose] = whose.encode(), self._topics.partition_of(whose.encode())
        return found

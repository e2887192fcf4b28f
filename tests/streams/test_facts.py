"""`seatstream facts`: which lines leave for which topic, and what is said of those that do not."""

import asyncio
import io
from asyncio import Future
from typing import Any

from rich.console import Console

from ledger.facts import Topic
from streams.facts import Publisher, summary

BURN = b'{"id": "run-1", "customer_id": "acme", "amount": 1, "time": "2026-03-16T00:00:00Z"}'
RESET = b'{"type": "period.reset", "id": "r-1", "customer_id": "b\xc3\xbcro", "time": "2026-03-16T00:00:00Z"}'


class Kafka:
    """A producer that keeps what it was given; a value that it is told to refuse comes back as an error."""

    def __init__(self, refused: bytes | None = None) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None]] = []
        self.refused = refused

    async def send(self, topic: str, value: bytes | None = None, key: bytes | None = None) -> "Future[Any]":
        done: Future[Any] = asyncio.get_running_loop().create_future()
        if value == self.refused:
            done.set_exception(RuntimeError("MessageSizeTooLarge"))
        else:
            self.sent.append((topic, key, value))
            done.set_result(None)
        return done


async def published(
    *lines: bytes, kafka: Kafka | None = None, check: bool = True, topic: Topic | None = None
) -> tuple[Kafka, Publisher, str]:
    kafka, said = kafka or Kafka(), io.StringIO()
    publisher = Publisher(kafka, "p-", check, topic, Console(file=said, width=200, soft_wrap=True))
    for line in lines:
        await publisher.tell(line)
    await publisher.finish()
    return kafka, publisher, said.getvalue()


async def test_a_fact_leaves_as_it_is_for_its_topic_under_its_customer() -> None:
    kafka, publisher, said = await published(BURN + b"\n", b"", RESET)

    assert kafka.sent == [("p-credit-burn", b"acme", BURN), ("p-contract-change", "büro".encode(), RESET)]
    assert said == ""
    assert summary(publisher) == "sent 1 to contract-change, 1 to credit-burn"


async def test_notes_and_questions_of_a_story_are_passed_by() -> None:
    kafka, publisher, _ = await published(b'{"note": "hello"}', b'{"at": "2026-03-16T00:00:00Z"}')

    assert (kafka.sent, publisher.bad, summary(publisher)) == ([], 0, "sent nothing")


async def test_a_line_that_cannot_be_read_is_told_by_its_number_and_the_others_leave() -> None:
    kafka, publisher, said = await published(b"", BURN.replace(b"1,", b"[],"), BURN)

    assert [value for _, _, value in kafka.sent] == [BURN]
    assert said == 'line 2: wrong_type: amount is a list; give a decimal such as "1.25"\n'
    assert summary(publisher) == "sent 1 to credit-burn; 1 lines not sent"


async def test_without_a_check_a_line_leaves_that_no_worker_can_fold() -> None:
    bad = BURN.replace(b"1,", b"[],")
    kafka, publisher, _ = await published(bad, b"not json", check=False)

    assert kafka.sent == [("p-credit-burn", b"acme", bad)]
    assert publisher.bad == 1


async def test_without_a_check_and_with_a_topic_anything_leaves() -> None:
    kafka, publisher, _ = await published(b"not json", BURN, check=False, topic="seat-change")

    assert kafka.sent == [("p-seat-change", None, b"not json"), ("p-seat-change", b"acme", BURN)]
    assert publisher.bad == 0


async def test_what_the_broker_does_not_take_is_told_with_its_line() -> None:
    _, publisher, said = await published(RESET, BURN, kafka=Kafka(refused=BURN))

    assert said == "line 2: not sent: MessageSizeTooLarge\n"
    assert (publisher.sent, publisher.bad) == ({"contract-change": 1}, 1)

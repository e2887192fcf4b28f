"""Facts over HTTP: published to their topic in their order, answered once they are folded."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import orjson
from aiohttp import web

from ledger.facts import AnyFact
from ledger.outcome import Refused
from web import asked
from web.api import FACTS_PATH, Api, away, json, read_so_far, together
from web.cluster import Away, Elsewhere, Here, Nobody, Place, Plain, Publication
from web.letting_in import caller
from web.passing import PASSED
from web.problems import Problem
from wire import answers
from wire.codec import Unreadable
from wire.codec import read as read_fact

Topic = Literal["contract-change", "seat-change", "credit-burn"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
MOST_FACTS: Final = 1_000

_one = msgspec.json.Decoder(msgspec.Raw).decode
_many = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Said(NamedTuple):
    """One fact of a body: where it stands there, its bytes, and what they say."""

    number: int
    value: bytes
    fact: AnyFact


class Facts:
    """The handler of `POST /v1/facts/{topic}`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.post(FACTS_PATH.path, self.publish, name=FACTS_PATH.name)

    async def publish(self, request: web.Request) -> web.Response:
        topic, question = _topic(request), asked.read(request.query, asked.Publish)
        timeout_s = question.timeout_ms / 1000
        values = facts_in(await request.read())
        outcomes: list[Plain | None] = [None] * len(values)
        said = []
        for number, value in enumerate(values):
            fact = read_fact(topic, None, value)
            if isinstance(fact, Unreadable):
                # Whoever sent it hears of it here; it is in no log that would need a dead letter.
                outcomes[number] = answers.outcome(fact.id or "", Refused(refusal=fact.refusal)) | {"id": fact.id}
            else:
                caller(request).check_sees(fact.customer_id)
                said.append(Said(number, value, fact))
        reads = await self._spread(request, topic, said, outcomes, timeout_s)
        late = [one.fact.id for one in said if outcomes[one.number] is None]
        if late:
            said_so = "folding takes longer than timeout_ms; these facts are in the log, and a retry is safe"
            raise Problem(504, "not_folded_yet", said_so, more={"ids": late})
        is_refused = any(outcome is not None and outcome["outcome"] == "refused" for outcome in outcomes)
        return json({"outcomes": outcomes, "as_of": together(reads)}, status=422 if is_refused else 200)

    async def _spread(
        self, request: web.Request, topic: Topic, said: Sequence[Said], outcomes: list[Plain | None], timeout_s: float
    ) -> list[Plain]:
        """Each fact to who owns its customer; those of one customer stay in their order. How far each has read."""
        groups: dict[Place | str, list[Said]] = {}
        for one in said:
            place = self._api.cluster.owner(one.fact.customer_id)
            if isinstance(place, Nobody):
                # Before anything is published: all of it may be sent again.
                raise away(place)
            groups.setdefault(place.url if isinstance(place, Elsewhere) else place, []).append(one)
        if PASSED in request.headers and any(isinstance(where, str) for where in groups):
            raise Problem(503, "moving", "the customer's partition is moving; send it again", retry_after_s=1)
        return await asyncio.gather(
            *(
                self._pass_on(request, where, group, outcomes, timeout_s)
                if isinstance(where, str)
                else self._publish(where, topic, group, outcomes, timeout_s)
                for where, group in groups.items()
            )
        )

    async def _publish(
        self, place: Place, topic: Topic, group: Sequence[Said], outcomes: list[Plain | None], timeout_s: float
    ) -> Plain:
        assert isinstance(place, Here)
        facts = [Publication(topic, one.fact.customer_id, one.fact.id, one.value) for one in group]
        try:
            answered, as_of = await self._api.cluster.publish(place.partition, facts, timeout_s)
        except Away as left:
            raise _unknown(left.nobody) from None
        for one, answer in zip(group, answered, strict=True):
            if answer.outcome is not None:
                outcomes[one.number] = answers.outcome(one.fact.id, answer.outcome)
        return read_so_far(as_of)

    async def _pass_on(
        self, request: web.Request, url: str, group: Sequence[Said], outcomes: list[Plain | None], timeout_s: float
    ) -> Plain:
        body = b"[" + b",".join(one.value for one in group) + b"]"
        answer = await self._api.passer.pass_on(request, url, body=body, wait_s=timeout_s)
        held = orjson.loads(answer.body)  # type: ignore[arg-type]
        if answer.status == 504:
            return {"event_time": None, "offsets": {}, "lag": 0, "behind_ms": 0}
        if answer.status not in (200, 422):
            raise Problem(answer.status, held["code"], held["detail"], retry_after_s=1)
        for one, outcome in zip(group, held["outcomes"], strict=True):
            outcomes[one.number] = outcome
        as_of: Plain = held["as_of"]
        return as_of


def facts_in(body: bytes) -> list[bytes]:
    """The facts of a body: one object, an array of them, or one a line. Raises the problem of a body that is neither."""
    try:
        whole = bytes(_one(body))
    except (msgspec.DecodeError, UnicodeError):
        return _lines(body)
    values = [bytes(value) for value in _many(whole)] if whole.lstrip()[:1] == b"[" else [whole]
    return _not_too_many(values)


def _lines(body: bytes) -> list[bytes]:
    values = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                values.append(bytes(_one(line)))
            except (msgspec.DecodeError, UnicodeError) as error:
                said = f"line {number} is not JSON ({error}); send an object, an array, or an object a line"
                raise Problem(400, "unreadable", said) from None
    if not values:
        raise Problem(400, "unreadable", "the body is empty; send an object, an array, or an object a line")
    return _not_too_many(values)


def _not_too_many(values: list[bytes]) -> list[bytes]:
    if len(values) > MOST_FACTS:
        raise Problem(
            413, "too_large", f"{len(values):,} facts are more than {MOST_FACTS:,}; send them in several calls"
        )
    return values


def _topic(request: web.Request) -> Topic:
    for topic in TOPICS:
        if request.match_info["topic"] == topic:
            return topic
    raise Problem(404, "no_such_topic", f"facts go to {', '.join(TOPICS)}", field="topic")


def _unknown(nobody: Nobody) -> Problem:
    problem = away(nobody)
    problem.detail += "; what was sent may be in the log, and a retry is safe"
    return problem

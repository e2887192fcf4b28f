"""Facts over HTTP: published to their topic in their order, answered once they are folded.

A fact goes to who folds its customer, a rule to who reads the rules of its partition and copies it to all, a tick to everybody:
time passes in every partition by itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import orjson
from aiohttp import web

from ledger import instants
from ledger.outcome import Refusal, Refused
from web import asked
from web.api import FACTS_PATH, Api, away, json, read_so_far, together
from web.cluster import Away, Elsewhere, Here, Nobody, Place, Plain, Publication
from web.letting_in import caller
from web.passing import PARTITIONS, PASSED
from web.problems import Problem
from wire import answers
from wire.codec import Unreadable
from wire.codec import read as read_fact
from wire.control import Tick, read_control
from wire.rules import read_rule

Topic = Literal["contract-change", "seat-change", "credit-burn", "alert-rule", "control"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
MOST_FACTS: Final = 1_000

_one = msgspec.json.Decoder(msgspec.Raw).decode
_many = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Said(NamedTuple):
    """One fact of a body: where it stands there, its bytes, what it is called, and whose partition it goes to; None: to all."""

    number: int
    value: bytes
    id: str
    key: str | None


class Facts:
    """The handler of `POST /v1/facts/{topic}`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.post(FACTS_PATH.path, self.publish, name=FACTS_PATH.name)

    async def publish(self, request: web.Request) -> web.Response:
        topic, question = _topic(request), asked.read(request.query, asked.Publish)
        if topic in ("alert-rule", "control"):
            caller(request).check_sees_all()
        values = facts_in(await request.read())
        call = _Call(self._api, request, topic, question.timeout_ms / 1000, [None] * len(values))
        said = [one for number, value in enumerate(values) if (one := self._read(call, number, value)) is not None]
        reads, told = await call.spread(said)
        late = [one.id for one in said if one.number in call.late]
        if late:
            said_so = "folding takes longer than timeout_ms; these facts are in the log, and a retry is safe"
            raise Problem(504, "not_folded_yet", said_so, more={"ids": late})
        is_refused = any(outcome is not None and outcome["outcome"] == "refused" for outcome in call.outcomes)
        return json(
            {"outcomes": call.outcomes, "as_of": together(reads)},
            {PARTITIONS: ",".join(map(str, told))} if PASSED in request.headers else None,
            status=422 if is_refused else 200,
        )

    def _read(self, call: "_Call", number: int, value: bytes) -> Said | None:
        """None where it is refused at once: whoever sent it hears of it here; it is in no log that would need a dead letter."""
        match call.topic:
            case "alert-rule":
                rule = read_rule(None, value)
                if not isinstance(rule, Unreadable):
                    return Said(number, value, rule.rule_id, rule.rule_id)
                refused, its_id = rule.refusal, rule.id
            case "control":
                tick = self._tick(value)
                if isinstance(tick, Tick):
                    return Said(number, value, instants.text(tick.time), None)
                refused, its_id = tick, None
            case _:
                fact = read_fact(call.topic, None, value)
                if not isinstance(fact, Unreadable):
                    caller(call.request).check_sees(fact.customer_id)
                    return Said(number, value, fact.id, fact.customer_id)
                refused, its_id = fact.refusal, fact.id
        call.outcomes[number] = answers.outcome(its_id or "", Refused(refusal=refused)) | {"id": its_id}
        return None

    def _tick(self, value: bytes) -> Tick | Refusal:
        said = read_control(value)
        if isinstance(said, Refusal):
            return said
        if not isinstance(said, Tick):
            # A copy that reaches some partitions and not others would be two truths.
            message = 'type is "rule"; send rules to alert-rule, from where every partition gets its copy'
            return Refusal(code="unknown_value", field="type", message=message, law="L17")
        if self._api.cluster.clock == "system":
            message = "type a tick moves no time here: that is for workers with SEATSTREAM_CLOCK=topic"
            return Refusal(code="wrong_mode", field="type", message=message, law="L17")
        return said


class _Call:
    """One body on its way: what became of each of its facts, and of which nobody knows in time."""

    def __init__(
        self, api: Api, request: web.Request, topic: Topic, timeout_s: float, outcomes: list[Plain | None]
    ) -> None:
        self._api = api
        self.request = request
        self.topic = topic
        self._timeout_s = timeout_s
        self.outcomes = outcomes
        self.late: set[int] = set()

    async def spread(self, said: Sequence[Said]) -> tuple[list[Plain], list[int]]:
        """Each fact to who folds it; those of one partition stay in their order. How far each has read, and which partitions
        were told here."""
        groups: dict[Place | str, list[Said]] = {}
        for one in said:
            for place in self._places(one):
                if isinstance(place, Nobody):
                    # Before anything is published: all of it may be sent again.
                    raise away(place)
                where = place.url if isinstance(place, Elsewhere) else place
                group = groups.setdefault(where, [])
                if not group or group[-1] is not one:
                    group.append(one)
        if PASSED in self.request.headers and any(isinstance(where, str) for where in groups):
            raise Problem(503, "moving", "the customer's partition is moving; send it again", retry_after_s=1)
        answered = await asyncio.gather(
            *(
                self._pass_on(where, group) if isinstance(where, str) else self._publish(where, group)
                for where, group in groups.items()
            )
        )
        told = [partition for _, partitions in answered for partition in partitions]
        for_all = any(one.key is None for one in said)
        is_ours = PASSED not in self.request.headers
        if for_all and is_ours and not self.late and sorted(told) != list(range(self._api.cluster.partitions)):
            raise Problem(503, "moving", "a partition is moving between workers; a retry is safe", retry_after_s=1)
        return [read for read, _ in answered], told

    def _places(self, one: Said) -> Sequence[Place]:
        if one.key is not None:
            return [self._api.cluster.owner(one.key)]
        places = self._api.cluster.owners()
        if PASSED not in self.request.headers:
            return places
        # Whoever passed it on has asked the others too, and looks whether all were reached.
        return [place for place in places if isinstance(place, Here)]

    async def _publish(self, place: Place, group: Sequence[Said]) -> tuple[Plain, list[int]]:
        assert isinstance(place, Here)
        facts = [Publication(self.topic, one.key, one.value) for one in group]
        try:
            answered, as_of = await self._api.cluster.publish(place.partition, facts, self._timeout_s)
        except Away as left:
            raise _unknown(left.nobody) from None
        for one, answer in zip(group, answered, strict=True):
            self._became(one, None if answer.outcome is None else answers.outcome(one.id, answer.outcome))
        return read_so_far(as_of), [place.partition]

    async def _pass_on(self, url: str, group: Sequence[Said]) -> tuple[Plain, list[int]]:
        body = b"[" + b",".join(one.value for one in group) + b"]"
        answer = await self._api.passer.pass_on(self.request, url, body=body, wait_s=self._timeout_s)
        held = orjson.loads(answer.body)  # type: ignore[arg-type]
        if answer.status not in (200, 422, 504):
            raise Problem(answer.status, held["code"], held["detail"], retry_after_s=1)
        told = [int(number) for number in answer.headers.get(PARTITIONS, "").split(",") if number]
        outcomes = held.get("outcomes") or [None] * len(group)
        for one, outcome in zip(group, outcomes, strict=True):
            self._became(one, outcome)
        return held.get("as_of") or {"event_time": None, "offsets": {}, "lag": 0, "behind_ms": 0}, told

    def _became(self, one: Said, outcome: Plain | None) -> None:
        if outcome is None:
            self.late.add(one.number)
        self.outcomes[one.number] = outcome


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

"""The topics: names, partitions, how long they keep what; created when absent, checked at every start."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import murmur2

#: In the order in which records of one append time are folded.
INPUTS = ("contract-change", "seat-change", "alert-rule", "control", "credit-burn")
OUTPUTS = ("threshold-alert", "history-snapshot", "dead-letter")
CHANGELOGS = ("state-changelog", "trail-changelog")
KINDS = (*INPUTS, *OUTPUTS, "journal", *CHANGELOGS)

#: What a client may send. What we send may be a little larger: a dead letter holds the original whole, and says why.
MESSAGE_BYTES = 1 << 20
OWN_MESSAGE_BYTES = 4 << 20

#: The header of a fact that came in a partition where its customer is not folded: which one.
FORWARDED = "seatstream.forwarded"

_DAY_MS = 86_400_000


class TopicsUnfit(Exception):
    """The topics of this cluster cannot be worked with as they are; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be."""

    kind: str
    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one installation. A partition number means the same customers in each of them."""

    prefix: str
    partitions: int
    replication: int
    history_ms: int
    #: Which Kafka these topics are on, once somebody asked it: rows of one cluster mean nothing on another.
    cluster: str = ""

    def name(self, kind: str) -> str:
        return f"{self.prefix}{kind}"

    def kind(self, name: str) -> str:
        return name.removeprefix(self.prefix)

    def partition_of(self, customer_id: bytes) -> int:
        """Where a customer's facts belong: what Kafka's Java clients and aiokafka choose for this key."""
        return partition_of(customer_id, self.partitions)

    def all(self) -> list[Topic]:
        return [Topic(kind, self.name(kind), self.partitions, self.replication, self.config(kind)) for kind in KINDS]

    def config(self, kind: str) -> dict[str, str]:
        """The settings with which a topic is made."""
        if kind in INPUTS:
            # Room for more than is allowed: what is too large is refused by us, with a reason, not by Kafka without one.
            config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(2 * MESSAGE_BYTES)}
        else:
            config = {"max.message.bytes": str(OWN_MESSAGE_BYTES)}
        match kind:
            case "alert-rule":
                return config | {"cleanup.policy": "compact"}
            case "state-changelog":
                # Tombstones stay for as long as a worker's disk may have been away and still be believed.
                return config | {"cleanup.policy": "compact", "delete.retention.ms": str(BELIEVED_MS)}
            case "trail-changelog":
                # What no row follows from any more is deleted by the owner of a partition (streams/trimming.py), who finds it by
                # the broker's clock, as that of the inputs: a worker's own may be wrong.
                config |= {"message.timestamp.type": "LogAppendTime"}
                kept_ms = -1
            case "threshold-alert" | "history-snapshot":
                kept_ms = 34 * _DAY_MS
            case "dead-letter":
                kept_ms = 92 * _DAY_MS
            case _:
                kept_ms = self.history_ms
        return config | {"cleanup.policy": "delete", "retention.ms": str(kept_ms)}


#: A disk that was away for longer is rebuilt from the changelog: tombstones that it missed may be gone.
BELIEVED_MS = 7 * _DAY_MS


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner for a key."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


async def ensure(topics: Topics, kafka: Mapping[str, Any]) -> Topics:
    """Creates what is absent and checks the rest; returns the topics as they are on this cluster.

    `kafka` holds the client settings of aiokafka: servers, TLS and SASL.
    """
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        found = await _partitions(admin)
        topics = replace(fitting(topics, found), cluster=(await admin.describe_cluster())["cluster_id"])
        await _check_configs(admin, topics, found)
        absent = [topic for topic in topics.all() if topic.name not in found]
        if absent:
            await _create(admin, absent)
            await _until_led(admin, topics)
        return topics
    finally:
        await admin.close()


def fitting(topics: Topics, found: Mapping[str, int]) -> Topics:
    """The topics with the number of partitions that this cluster already has; its own number where it has none.

    Refuses a cluster where a partition number would not mean the same customers in every topic.
    """
    present = {name: found[name] for name in map(topics.name, KINDS) if name in found}
    if not present:
        return topics
    first, count = next(iter(present.items()))
    different = [f"{name} has {n}" for name, n in present.items() if n != count]
    if different:
        raise TopicsUnfit(
            f"{first} has {count} partitions, but {', '.join(different)}. Everything about a customer must meet in one"
            " partition, so all topics need the same number: where they are still empty, delete those that differ and"
            " start again; else set another SEATSTREAM_PREFIX, start, and send the facts to the topics made there."
        )
    return replace(topics, partitions=count)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    names = await admin.list_topics()
    described: Sequence[Mapping[str, Any]] = await admin.describe_topics(names) if names else []
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _until_led(admin: AIOKafkaAdminClient, topics: Topics) -> None:
    """A topic that was just made is not known everywhere at once."""
    names = [topics.name(kind) for kind in KINDS]
    for _ in range(100):
        described = await admin.describe_topics(names)
        leaders = [partition["leader"] for topic in described for partition in topic["partitions"]]
        if len(leaders) == len(names) * topics.partitions and min(leaders) >= 0:
            return
        await asyncio.sleep(0.1)
    raise TopicsUnfit(f"The topics were made, but not all of their partitions have a leader: {', '.join(names)}")


async def _check_configs(admin: AIOKafkaAdminClient, topics: Topics, found: Mapping[str, int]) -> None:
    """Refuses topics that are there already and would lose, double or hold up what goes through them."""
    kinds = {topics.name(kind): kind for kind in KINDS if topics.name(kind) in found}
    if not kinds:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in kinds]
    wrong = [
        f"{name} has {key}={held[key]}, but {must.why}. Set it: kafka-configs.sh --alter --topic {name} --add-config"
        f" {key}={must.value}"
        for answer in await admin.describe_configs(resources)
        for _, _, _, name, entries in answer.resources
        for held in ({entry[0]: entry[1] for entry in entries},)
        for key, must in _musts(topics, kinds[name]).items()
        if key in held and not must.holds(held[key])
    ]
    if wrong:
        raise TopicsUnfit("\n".join(wrong))


class Must(NamedTuple):
    """What a topic's setting has to be: this value, or as much at least where that is enough."""

    value: str
    why: str
    at_least: bool = False

    def holds(self, held: str) -> bool:
        # -1 is how Kafka writes "without end".
        return held == self.value or (self.at_least and (int(held) < 0 or int(held) >= int(self.value)))


def _musts(topics: Topics, kind: str) -> dict[str, Must]:
    config = topics.config(kind)
    policy = config["cleanup.policy"]
    if kind in INPUTS:
        why = "facts are folded by the broker's append time, not by the producers' own timestamps"
        musts = {"message.timestamp.type": Must("LogAppendTime", why)}
    else:
        size = str(OWN_MESSAGE_BYTES)
        musts = {"max.message.bytes": Must(size, "a dead letter holds its original whole", at_least=True)}
    musts["cleanup.policy"] = Must(
        policy,
        "what is written here holds until it is replaced, and must not leave by time"
        if policy == "compact"
        else "compaction would take away what is not folded or read yet",
    )
    if kind == "trail-changelog":
        why = (
            "burns are played again when what was agreed before them changes, so that none may leave before it has aged"
        )
        musts["retention.ms"] = Must(config["retention.ms"], why)
        musts["message.timestamp.type"] = Must(
            "LogAppendTime", "what has aged is found by the broker's clock, and deleted"
        )
    return musts


async def _create(admin: AIOKafkaAdminClient, absent: Sequence[Topic]) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.config))
            for topic in absent
        ]
    )
    exists = 36  # Another worker that starts at the same moment was quicker.
    for name, code, *rest in answer.topic_errors:
        if code not in (0, exists):
            why = (rest[0] if rest else None) or f"error {code}"
            raise TopicsUnfit(f"{name} could not be created: {why}")

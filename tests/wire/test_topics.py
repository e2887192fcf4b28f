"""The topics as they should be, and what is refused."""

import pytest

from wire.topics import INPUTS, KINDS, Topics, TopicsUnfit, fitting, partition_of

TOPICS = Topics(prefix="eu-", partitions=8, replication=1, history_ms=1000)


def test_inputs_carry_the_brokers_append_time() -> None:
    configs = {topic.kind: topic.config for topic in TOPICS.all()}

    assert {configs[kind]["message.timestamp.type"] for kind in INPUTS} == {"LogAppendTime"}
    assert configs["alert-rule"]["cleanup.policy"] == "compact"
    assert configs["state-changelog"]["cleanup.policy"] == "compact"
    assert configs["trail-changelog"]["retention.ms"] == "-1"


def test_a_cluster_that_has_the_topics_already_says_how_many_partitions_there_are() -> None:
    found = dict.fromkeys(map(TOPICS.name, KINDS), 12) | {"others": 3}

    assert fitting(TOPICS, found).partitions == 12
    assert fitting(TOPICS, {"others": 3}).partitions == 8


def test_inputs_of_different_partition_counts_are_refused_with_what_to_do() -> None:
    with pytest.raises(TopicsUnfit, match=r"eu-contract-change has 8 .*eu-credit-burn has 6.*SEATSTREAM_PREFIX"):
        fitting(TOPICS, {"eu-contract-change": 8, "eu-credit-burn": 6})


@pytest.mark.parametrize(
    ("key", "murmur2"), [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)]
)
def test_a_customer_belongs_where_kafkas_own_clients_put_it(key: bytes, murmur2: int) -> None:
    # The hashes stand in the tests of Kafka's Java client.
    assert partition_of(key, 8) == (murmur2 & 0x7FFFFFFF) % 8

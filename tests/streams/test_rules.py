"""A rule on its way: from `alert-rule` to every partition's `control`, in order with the facts there."""

import orjson

from streams.fold import Output
from streams.settings import read
from tests.streams.test_bookkeeper import Desk, letters
from wire.control import read_control
from wire.rules import read_rule

RULE = orjson.dumps({"rule_id": "low", "name": "Low", "metric": "balance", "scope": "seat", "levels": ["5", 10]})


def test_a_rule_is_copied_to_every_partition() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "3"}))

    copies = desk.fold(desk.record("alert-rule", RULE, key=b"low"))

    assert [(copy.kind, copy.partition) for copy in copies] == [("control", n) for n in range(3)]
    assert {copy.value for copy in copies} == {copies[0].value}
    assert read_control(copies[0].value) == read_rule(b"low", RULE)


def test_a_tombstone_archives_in_every_partition() -> None:
    desk = Desk(read({"SEATSTREAM_PARTITIONS": "2"}))

    copies = desk.fold(desk.record("alert-rule", None, key=b"low"))

    assert [read_control(copy.value) for copy in copies] == [read_rule(b"low", None)] * 2


def test_a_rule_that_is_wrong_is_refused_as_a_whole() -> None:
    desk = Desk()
    wrong = RULE.replace(b'"5"', b'"-5"')

    outputs = desk.fold(desk.record("alert-rule", wrong, key=b"low"))

    assert letters(outputs) == [("amount_out_of_range", wrong)]
    assert dict(outputs[0].headers)["seatstream.field"] == b"levels[0]"


def test_a_copy_that_nobody_can_read_is_a_dead_letter_too() -> None:
    desk = Desk()
    wrong = b'{"type": "rule", "rule_id": "low"}'

    (letter,) = desk.fold(desk.record("control", wrong))

    assert isinstance(letter, Output) and letters([letter]) == [("missing_field", wrong)]

"""The long run itself: what hangs and what kills its process is a difference, and the run goes on."""

import os
import random

import pytest

from tests import long
from tests.ledger.histories import draw_history


def test_a_history_that_hangs_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(long, "duel", hang)

    assert long.difference(draw_history(random.Random(1), 5), 1, limit=0.05) == "TookTooLong: took longer than 0.05 s"


def test_a_process_that_dies_is_found_out() -> None:
    assert long.apart(os._exit, 1) is None


def test_the_history_that_its_process_does_not_survive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies_of_three(_: object, seeds: list[int]) -> object:
        return None if 3 in seeds else long.nothing(seeds)

    monkeypatch.setattr(long, "apart", dies_of_three)

    assert [each["seed"] for each in long.play_apart([2, 3, 4])["differences"]] == [3]

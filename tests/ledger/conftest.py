"""Every pencil test is played twice: on the engine and on the naive model."""

import pytest

from tests.ledger import language


@pytest.fixture(params=["engine", "model"])
def play(request: pytest.FixtureRequest) -> language.Play:
    return language.play if request.param == "engine" else language.play_on_model

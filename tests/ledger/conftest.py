"""Every pencil test is played on the engine, on an engine that is opened anew for each line, and on the naive model."""

import pytest

from tests.ledger import language


@pytest.fixture(params=["engine", "reopened", "model"])
def play(request: pytest.FixtureRequest) -> language.Play:
    players: dict[str, language.Play] = {
        "engine": language.play,
        "reopened": language.play_reopened,
        "model": language.play_on_model,
    }
    return players[request.param]

"""Every pencil test is played on the engine, on an engine that is opened anew for each line, and on the naive model."""

from pathlib import Path

import pytest

from tests.ledger import language

HERE = Path(__file__).parent
#: Drawn by chance, or about the naive model.
NO_PENCIL = ("test_laws", "test_model")


@pytest.fixture(params=["engine", "reopened", "model"])
def play(request: pytest.FixtureRequest) -> language.Play:
    players: dict[str, language.Play] = {
        "engine": language.play,
        "reopened": language.play_reopened,
        "model": language.play_on_model,
    }
    return players[request.param]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what can be checked with a pencil, played on the engine: quick enough to run after every change."""
    for item in items:
        if item.path.parent != HERE or item.path.stem in NO_PENCIL or not isinstance(item, pytest.Function):
            continue
        player = item.callspec.params.get("play", "engine") if hasattr(item, "callspec") else "engine"
        drawn = hasattr(item.obj, "hypothesis") or item.get_closest_marker("drawn")
        if player == "engine" and not drawn and not item.get_closest_marker("heavy"):
            item.add_marker("pencil")

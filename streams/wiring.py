"""Where all the pieces meet."""

from streams.app import App, create
from streams.settings import Settings
from wire.topics import Topics


def build(settings: Settings, topics: Topics) -> App:
    """The app as the worker runs it."""
    # Imported late: the motion can be tested before, and without, what it moves.
    from streams.bookkeeper import Bookkeeper  # noqa: PLC0415

    return create(settings, topics, Bookkeeper(settings, topics))

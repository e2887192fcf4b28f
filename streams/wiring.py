"""Where all the pieces meet."""

from streams.app import App, create
from streams.bookkeeper import Bookkeeper
from streams.settings import Settings
from wire.topics import Topics


def build(settings: Settings, topics: Topics) -> App:
    """The app as the worker runs it."""
    bookkeeper = Bookkeeper(settings, topics)
    app = create(settings, topics, bookkeeper)
    app.hands.on_dropped.append(bookkeeper.forget)
    return app

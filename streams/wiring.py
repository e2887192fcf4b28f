"""Where all the pieces meet."""

from streams.app import App, create
from streams.bookkeeper import Bookkeeper
from streams.intake import MOST_RECORDS
from streams.settings import Settings
from wire.topics import Topics


def build(settings: Settings, topics: Topics, *, most_records: int = MOST_RECORDS, web: bool = True) -> App:
    """The app as the worker runs it."""
    bookkeeper = Bookkeeper(settings, topics)
    app = create(settings, topics, bookkeeper, most_records=most_records, web=web)
    app.hands.on_dropped.append(bookkeeper.forget)
    app.hands.on_committed.append(lambda partition, _: bookkeeper.committed(partition))
    bookkeeper.on_outcome.append(app.outcomes.folded)
    return app

"""What the Grafana board asks Prometheus."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BOARD: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "docs/grafana/seatstream.json").read_text())
#: What Grafana puts in before it asks.
_VARIABLES: Final = {"$__rate_interval": "1m", "$instance": ".*"}


def targets() -> Iterator[tuple[str, str, str]]:
    """The title of each panel, an expression as Prometheus gets it, and how its lines are called."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression, target["legendFormat"]

"""The tests; the folders are those of the packages."""

import os


def hurry_java() -> None:
    """The brokers of tests are young when they end: what their Java would compile for later costs more than it saves."""
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

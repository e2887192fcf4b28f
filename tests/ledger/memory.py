"""Rows in memory, for tests and benchmarks without a store."""

from tables.memory import MemoryRows

__all__ = ["MemoryRows"]

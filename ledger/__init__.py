"""The rules of seats and credits: a pure function of facts. No clock, no randomness, no I/O."""

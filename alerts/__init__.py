"""The watch: rules in, alerts out. Pure, like the ledger: no clock, no randomness, no I/O."""

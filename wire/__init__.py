"""The contract: what goes over the topics."""

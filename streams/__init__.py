"""The motion: topics in, outcomes out."""

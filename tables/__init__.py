"""The memory: two RocksDB tables for each partition, each with its changelog, behind plain methods."""

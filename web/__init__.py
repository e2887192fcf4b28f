"""The window: questions over HTTP, and the view. It computes over rows that others keep, and knows nothing of Kafka."""

"""What we measure, runnable by anyone."""

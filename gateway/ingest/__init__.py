"""From the broker to the journal: nothing is acknowledged before it is on disk."""

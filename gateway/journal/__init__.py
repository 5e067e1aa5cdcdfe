"""The gateway's durable store: what was acknowledged to the nodes and is not yet in the database, and every count."""

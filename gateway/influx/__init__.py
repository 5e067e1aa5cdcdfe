"""Setting a database up: how long it keeps what, and its roll-ups."""

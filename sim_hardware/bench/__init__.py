"""A single emulated board on a bench: a serial port that a person's tools talk to as to a real one."""

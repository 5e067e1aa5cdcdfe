"""The identities of a city: its own certificate authority, for broker, gateway and nodes."""

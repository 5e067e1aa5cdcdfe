"""The on-line side of identities: issued by token and renewed at the gateway, revoked, put on hold, watched."""

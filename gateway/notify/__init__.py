"""People and machines are told of incidents."""

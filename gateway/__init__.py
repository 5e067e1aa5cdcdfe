"""The gateway: hears the nodes, keeps what they say, notices what is wrong and passes it on."""

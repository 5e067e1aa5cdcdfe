# Reads config.json, builds one node, runs it.

import asyncio

from node import config as configuration


def board(config):
    """The pins of the board that a checked configuration names."""
    try:
        return __import__("boards." + config["board"].replace("-", "_"), None, None, ("",))
    except ImportError:
        raise configuration.ConfigError("board: no boards/ file is named " + config["board"]) from None


def build(config):
    """The node that a checked configuration asks for."""
    from node.node import Node

    sensor = __import__("sensors." + config["kind"], None, None, ("",)).build(board(config), config["sensors"])
    return Node(config, sensor)


def main():
    asyncio.run(build(configuration.load()).run())


if __name__ == "__main__":
    main()

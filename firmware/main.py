# Reads config.json, builds one node, runs it.

import machine

# What a board needs only now and then is imported where it is needed: one on a battery wakes a thousand times a day.


def board(config):
    """The pins of the board that a checked configuration names."""
    from node.config import ConfigError

    try:
        return __import__("boards." + config["board"].replace("-", "_"), None, None, ("",))
    except ImportError:
        raise ConfigError("board: no boards/ file is named " + config["board"]) from None


def kind(config):
    """The sensors of the node's kind."""
    return __import__("sensors." + config["kind"], None, None, ("",))


def check(config):
    """Raises ConfigError for what a node could not begin with. Switches nothing on."""
    _calibration(config)
    kind(config).check(board(config), config["sensors"])
    if config["battery"]:
        from node import battery

        battery.check(board(config))


def _calibration(config):
    if not config["calibration"]:
        return {}
    from node import calibration

    return calibration.check(config["calibration"], config["kind"])


class Nothing:
    """The sensors of a node in safe mode."""

    tasks = ()

    def close_window(self, length_ms):
        return []

    def sample(self):
        return []

    def save(self):
        pass


def load(crumbs, log):
    """The board's own configuration and what the gateway wants; without that when it ended badly, or cannot be used."""
    from node import config as configuration

    config = configuration.load()
    wanted = configuration.read(configuration.WANTED)
    if wanted and not crumbs.safe:
        try:
            whole = dict(config)
            whole.update(wanted)
            whole = configuration.check(whole)
            check(whole)
            return whole
        except configuration.ConfigError as error:
            log("config", "what was wanted is left out: %s" % error)
    return config


def build():
    """The node that this board is configured to be."""
    from node.crumbs import Crumbs
    from node.log import Log
    from node.scratch import Scratch

    log = Log()
    scratch = Scratch()
    crumbs = Crumbs(scratch, machine.reset_cause())
    config = load(crumbs, log)
    config["calibration"] = {} if crumbs.safe else _calibration(config)
    pins = board(config)
    state = None
    if config["battery"] and not crumbs.safe:
        from node import battery

        settings = kind(config).check(pins, config["sensors"])
        state = battery.resume(config, pins, settings, scratch, crumbs.cause)
    # One connection, and its buffers, before the heap is used.
    ssl = None
    if config["mqtt"].get("tls"):
        from node import tls

        ssl = tls.context(config["mqtt"]["tls"])
    sensor = Nothing() if crumbs.safe else kind(config).build(pins, config["sensors"], scratch)
    if state:
        from node.report import Reporter

        return Reporter(state, config, pins, sensor, scratch, crumbs, log, check, ssl)
    from node.node import Node

    return Node(config, pins, sensor, scratch, crumbs, log, check, ssl)


def main():
    node = None
    try:
        if machine.reset_cause() == machine.DEEPSLEEP_RESET:
            from node import wake

            wake.run()  # returns when there is more to do than to count
        import asyncio

        node = build()
        asyncio.run(node.run())
    except Exception as error:
        # The loader resets; the next boot tells of it.
        from node.crumbs import died
        from node.scratch import Scratch

        died(node.scratch if node else Scratch(), error)
        raise


if __name__ == "__main__":
    main()

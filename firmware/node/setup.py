# From the configuration to a node. In memory only meanwhile: see node/later.py.

import os

import esp32
import machine
from micropython import const

from node import config as configuration
from node import files
from node.crumbs import Crumbs
from node.log import Log
from node.scratch import Scratch

# A start that takes longer hangs; the node's own watchdog is stricter. Each file of the outbox is looked through.
_START_MS = const(120_000)
_START_MS_KIB = const(20)

# What only this needs, and a check of what is wanted; beginnings of names for `forget`.
CHECK = (
    "node.setup",
    "node.config",
    "node.checks",
    "node.calibration",
    "sensors.traffic",
    "sensors.water",
    "sensors.air",
    "boards.",
)
# What only a start needs. A part that comes later may have it loaded again, and then its errors are of that one: it
# stays.
START = CHECK + ("node.files", "node.version")

# What a board needs only now and then is imported where it is needed: one on a battery wakes a thousand times a day.


def board(config):
    """The pins of the board that a checked configuration names."""
    try:
        return __import__("boards." + config["board"].replace("-", "_"), None, None, ("",))
    except ImportError:
        raise files.ConfigError("board: no boards/ file is named " + config["board"]) from None


def kind(config):
    """The sensors of the node's kind."""
    return __import__("sensors." + config["kind"], None, None, ("",))


def check(config):
    """Raises ConfigError for what a node could not begin with. Switches nothing on."""
    if config["calibration"]:
        from node import calibration

        calibration.check(config["calibration"], config["kind"])
    pins = board(config)
    kind(config).check(pins, config["sensors"])
    if config["battery"] and (not hasattr(esp32, "wake_on_ext0") or pins.CHIP == "esp32c3"):
        raise files.ConfigError("battery: this board's chip does not wake by a meter's contacts")


def _calibration(config, log):
    """The complete table: from the configuration, or else what commands have left."""
    if not config["calibration"] and files.CALIBRATION not in os.listdir():
        return {}
    from node import calibration

    if config["calibration"]:
        return calibration.check(config["calibration"], config["kind"])
    try:
        return calibration.kept(config["kind"])
    except (OSError, ValueError) as error:
        log("calibration", "%s cannot be used: %r" % (files.CALIBRATION, error))
        return {}


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
    config = configuration.load()
    wanted = files.read(files.WANTED)
    if wanted and not crumbs.safe:
        try:
            whole = dict(config)
            whole.update(wanted)
            whole = configuration.check(whole)
            check(whole)
            return whole
        except files.ConfigError as error:
            log("config", "what was wanted is left out: %s" % error)
    return config


def build():
    """The node that this board is configured to be."""
    log = Log()
    scratch = Scratch()
    crumbs = Crumbs(scratch, machine.reset_cause())
    config = load(crumbs, log)
    config["calibration"] = {} if crumbs.safe else _calibration(config, log)
    pins = board(config)
    state = None
    if config["battery"] and not crumbs.safe:
        from node import battery

        settings = kind(config).check(pins, config["sensors"])
        state = battery.resume(config, pins, settings, scratch, crumbs.cause)
    from node.net import wire_ms

    machine.WDT(timeout=wire_ms(_START_MS + config["outbox_kib"] * _START_MS_KIB))
    # One connection, and its buffers, before the heap is used.
    who = None
    if config["mqtt"].get("tls"):
        from node.identity import Identity

        who = Identity(config["mqtt"]["tls"], "%s/%s" % (config["site"], config["node"]), log)
    sensor = Nothing() if crumbs.safe else kind(config).build(pins, config["sensors"], scratch)
    if state:
        from node.report import Reporter

        return Reporter(state, config, pins, sensor, scratch, crumbs, log, who)
    from node.node import Node

    return Node(config, pins, sensor, scratch, crumbs, log, who)

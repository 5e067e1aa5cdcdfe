# What the gateway wants of the configuration: taken key by key, refused key by key, kept on flash.
#
# A board cannot be told from afar to go where it will not be heard again: its identity, its network and its broker are
# not among the keys. What is taken holds from the next boot on, and that comes at once.

import asyncio
import json

from node import files
from node.files import WANTED, ConfigError
from node.later import forget
from node.setup import CHECK

KEYS = ("window_s", "health_s", "ntp", "sensors", "calibration", "outbox_kib", "power_fail", "battery")


def judge(base, given, check):
    """(what of `given` can be taken, {key: why it is refused}). `base` is the board's own configuration;
    `check(configuration)` raises ConfigError for one that the node could not begin with.
    """
    taken, refused = {}, {}
    for key, value in given.items():
        if key not in KEYS:
            refused[key] = "known from afar are: " + ", ".join(KEYS)
            continue
        trial = dict(base)
        trial.update(taken)
        try:
            # There and back: a board reads keys that are no texts, which JSON has not.
            trial[key] = json.loads(json.dumps(value))
            check(trial)
            taken[key] = trial[key]
        except ConfigError as error:
            refused[key] = str(error)
        except ValueError:
            refused[key] = "a number in it is too large"  # read as infinity, which JSON has not
        except RuntimeError:
            refused[key] = "it is nested too deep"
    return taken, refused


class Wanted:
    """Hears `config`, answers on `config/reported`, restarts into what has changed."""

    def __init__(self, uplink, restart, check, log):
        self._uplink, self._restart, self._check, self._log = uplink, restart, check, log
        self._heard = None
        self._answer = None
        self._news = asyncio.Event()
        self.tasks = (("config", self.run),)
        uplink.hear("config", self._on_config)

    def _on_config(self, payload):
        self._heard = payload
        self._news.set()

    async def run(self):
        while True:
            await self._news.wait()
            self._news.clear()
            heard, self._heard = self._heard, None
            if heard is None:
                continue
            try:
                changed = self._take(heard)
            except MemoryError:
                self._heard = self._heard or heard
                self._news.set()
                raise  # a little later there may be room
            finally:
                forget(CHECK)
            try:
                await self._uplink.say("config/reported", json.dumps(self._answer), retain=True)
            except OSError:
                self._heard = self._heard or heard  # on the next connection it is heard again
            if changed:
                await self._restart("config")

    def _take(self, heard):
        """Keep what can be taken; whether that differs from what this boot began with."""
        base = files.read(files.CONFIG)
        try:
            given = json.loads(heard) if heard else {}
            if not isinstance(given, dict):
                raise ValueError
        except (ValueError, RuntimeError, MemoryError) as error:
            why = "too large" if isinstance(error, MemoryError) else "not a JSON object"
            self._answer = {"taken": files.read(WANTED), "refused": {"": why}}
            return False
        taken, refused = judge(base, given, self._check)
        for key in refused:
            self._log("config", "%s refused: %s" % (key, refused[key]))
        # As texts: a float is not always the same again once a board has written and read it.
        changed = json.dumps(taken) != _kept()
        if changed:
            try:
                files.write(WANTED, taken)
            except OSError as error:
                self._answer = {"taken": files.read(WANTED), "refused": {"": "flash: %r" % error}}
                return False
        self._answer = {"taken": taken, "refused": refused}
        return changed


def check(given):
    """Raises ConfigError for a configuration that a node could not begin with."""
    from node import config, setup

    setup.check(config.check(given))


def _kept():
    try:
        with open(WANTED) as f:
            return f.read()
    except OSError:
        return "{}"

# The node's JSON files on flash, which are replaced as a whole or not at all.

import json
import os

CONFIG = "config.json"
WANTED = "wanted.json"  # what the gateway wants of the configuration, as far as it was taken: see node/wanted.py
CALIBRATION = "calibration.json"  # what a command has calibrated


class ConfigError(ValueError):
    """What was configured cannot be used. Here, because what checks configurations is not always in memory."""


def load(path):
    """What is in a JSON file. Raises OSError when there is none, ConfigError when it is not JSON."""
    with open(path) as f:
        try:
            return json.load(f)
        except ValueError:
            raise ConfigError("%s is not JSON" % path) from None


def read(path):
    """What is in a JSON file, unchecked; an empty table where there is none, or it cannot be used."""
    try:
        found = load(path)
    except (OSError, ConfigError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path, content):
    """Replace a JSON file: whatever happens meanwhile, the old one is there or the new one. Raises OSError."""
    with open(path + ".new", "w") as f:
        json.dump(content, f)
    os.rename(path + ".new", path)


def remove(path):
    """Remove a file, if it is there. Raises OSError."""
    try:
        os.remove(path)
    except OSError as error:
        if error.errno != 2:  # ENOENT
            raise

# What settings of all kinds are checked with.

from node.files import ConfigError

ANYTHING = {}  # a table whose keys are known elsewhere


def whole(key, value, low, high):
    """Raises ConfigError that names the key when the value is no whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError("%s must be a whole number from %d to %d" % (key, low, high))


def merge(known, given, where):
    """What is given, the rest from `known`, which may hold tables. Raises ConfigError naming a key that is not in it.

    `where` is what stands before the keys in messages, with its dot.
    """
    if not isinstance(given, dict):
        raise ConfigError("%s must be an object" % (where or "the configuration"))
    for key in given:
        # `sensors` is passed on to the sensor file of the node's kind, which knows its own keys.
        if known is not ANYTHING and key not in known:
            raise ConfigError("unknown key %s%s" % (where, key))
    merged = dict(given)
    for key, default in known.items():
        value = given.get(key, default)
        merged[key] = merge(default, value, where + key + ".") if isinstance(default, dict) else value
    return merged

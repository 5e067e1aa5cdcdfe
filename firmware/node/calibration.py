# Tables of corrections, as they are configured or commanded: checked, merged, kept. node/correction.py applies them.
#
# A table looks as in the configuration: {"version": 3, "pm2_5": {"gain": 0.84, "offset": -1.5}, ...}.

from node import checks, files
from node.correction import QUANTITIES
from node.files import ConfigError

FOR_ITSELF = ("node.calibration", "node.checks")  # what is loaded for a command alone
_VERSION_MOST = 1_000_000_000
_GAINS = (0.1, 10)
_FINITE = 3e38  # the most that the board's floats hold
_PLAIN = {"offset": 0, "gain": 1}


def check(given, kind=None):
    """The complete table; empty when nothing is given. Raises ConfigError naming the key.

    `kind` is the node's; without it a quantity of any kind will do.
    """
    if given is None or given == {}:
        return {}
    if not isinstance(given, dict):
        raise ConfigError("calibration must be an object")
    version = given.get("version")
    checks.whole("calibration.version", None if isinstance(version, bool) else version, 0, _VERSION_MOST)
    table = {"version": version}
    for name in given:
        if name != "version":
            table[name] = _entry(name, given[name], kind)
    return table


def kept(kind):
    """The table that commands have left on flash. Raises OSError, or ValueError when it cannot be used."""
    return check(files.load(files.CALIBRATION), kind)


def merge(table, quantity, offset, gain, version, kind=None):
    """A new table: the old one with this quantity set anew. Raises ConfigError, and leaves the old one as it is."""
    if not isinstance(quantity, str):
        raise ConfigError("quantity must be a text")
    given = dict(table)
    given["version"] = version
    given[quantity] = {"offset": offset, "gain": gain}
    return check(given, kind)


def command(kind, quantity, offset, gain, version):
    """The table with one correction more, kept on flash. Raises ConfigError, OSError."""
    if files.read(files.WANTED).get("calibration", files.read(files.CONFIG).get("calibration")):
        raise ConfigError("calibration is set by config: change it there")
    try:
        table = kept(kind)
    except (OSError, ValueError):
        table = {}
    table = merge(table, quantity, offset, gain, version, kind)
    files.write(files.CALIBRATION, table)
    return table


def _entry(name, given, kind):
    where = "calibration." + name
    known = [each[0] for each in QUANTITIES if kind is None or kind in each[1]]
    if name not in known:
        raise ConfigError("%s: what can be calibrated is %s" % (where, ", ".join(known)))
    entry = checks.merge(_PLAIN, given, where + ".")
    for key, low, high in (("offset", -_FINITE, _FINITE), ("gain", _GAINS[0], _GAINS[1])):
        value = entry[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            said = "a finite number" if key == "offset" else "a number from %s to %s" % _GAINS
            raise ConfigError("%s.%s must be %s" % (where, key, said))
    return entry

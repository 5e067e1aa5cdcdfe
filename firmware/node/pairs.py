# Pairs of a key and its certificate on flash. Power may fail at any byte: each step is one rename, and what a node
# finds afterwards is a whole pair, the old one or the new.
#
#   the files of mqtt.tls.cert and mqtt.tls.key: the pair that holds
#   pair.trial  a pair that no broker has accepted yet
#   pair.ok     a pair that holds, on its way into the two files
#   pair.key    the key of a request that may be answered yet (node/enrol.py)
#
# A pair is one file: the key, the certificate, and where it is another one the certificate of the issuer, each in DER.
# The issuer's has its place in the file of mqtt.tls.issuer: by it a node tells whom to take a certificate of.

import os

from node.files import remove

_TRIAL = "pair.trial"
_OK = "pair.ok"
_KEY = "pair.key"


def held(settings):
    """(key, certificate) that holds. Raises OSError when there is none."""
    try:
        return _split(_read(_OK))[:2]
    except OSError:
        return _read(settings["key"]), _read(settings["cert"])


def issuer(settings):
    """The certificate of the issuer. Raises ValueError when it is not known."""
    try:
        found = _split(_read(_OK))[2]
    except OSError:
        found = b""
    path = settings["issuer"]
    try:
        return found or _read(path)
    except OSError:
        raise ValueError("the issuer is not known, %s is not there: it takes a cable or a token" % path) from None


def on_trial():
    """(key, certificate) on trial, or None."""
    try:
        return _split(_read(_TRIAL))[:2]
    except OSError:
        return None


def begin_trial(key, certificate, issuer=b""):
    """With an issuer that is another than before. Raises OSError, and leaves all as it was."""
    _write(_TRIAL, key + certificate + issuer)


def keep(settings):
    """What is on trial holds. Raises OSError: then it holds all the same, or is on trial still."""
    os.rename(_TRIAL, _OK)
    settle(settings)


def drop():
    """What is on trial was nothing. Raises OSError."""
    remove(_TRIAL)


def put(settings, key, certificate, issuer):
    """A pair that holds, in place of any other, and the issuer. Raises OSError."""
    _write(_OK, key + certificate + issuer)
    settle(settings)


def settle(settings):
    """Bring a pair that holds to its place; the key before it is gone then. Raises OSError."""
    try:
        key, certificate, issuer = _split(_read(_OK))
    except OSError:
        return
    if issuer:
        _write(settings["issuer"], issuer)
    _write(settings["cert"], certificate)
    _write(settings["key"], key)
    os.remove(_OK)


def asked_with():
    """The key, in DER, of a request that was perhaps answered, or None."""
    try:
        return _read(_KEY)
    except OSError:
        return None


def ask_with(key):
    """Keep the key of a request, so that it is the same one when it is asked again. Raises OSError."""
    _write(_KEY, key)


def asked():
    """The request was answered. Raises OSError."""
    remove(_KEY)


def _split(data):
    n = 2 + data[1]  # a key of P-256 is shorter than 128 bytes
    end = n + 4 + (data[n + 2] << 8 | data[n + 3])  # a certificate is longer than 255
    return data[:n], data[n:end], data[end:]


def _read(path):
    with open(path, "rb") as f:
        return f.read()


def _write(path, data):
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)

# Whether a manifest is of interest. In memory only meanwhile: see node/later.py.

import json

_SIGNER = "signer.json"  # which key signs updates now: see node/judge.py


def is_news(payload, version):
    """The manifest of the firmware that runs comes on each connection: it is of interest only if its signing key is a
    new one, which ends those before it.
    """
    if b'"version":"%s"' % version.encode() not in payload:
        return True
    return b'"by":' in payload and b'"serial":%s,' % _signer().encode() not in payload


def _signer():
    """The serial number of the newest delegation; anything else where there is none."""
    try:
        with open(_SIGNER) as f:
            return str(json.load(f)["serial"])
    except (OSError, ValueError, KeyError, TypeError):
        return "none"

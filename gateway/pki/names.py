"""What may be the name in a certificate: anything else would be a path, a wildcard or another line somewhere."""

import ipaddress
import re
from typing import Final

from gateway.config import A_NAME, NAME

COMMON_NAME: Final = 64
"""Characters of a common name, at most (RFC 5280, ub-common-name)."""
RESERVED: Final = ("incident", "doctor", "doctor-other")
"""What stands in topics where the name of a node does: who had such a name could say what only the gateway may. And
whom `ganglion doctor` plays, which would throw out a node of that name."""

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


def is_name(text: str) -> bool:
    """Of a site, a node or a gateway."""
    return re.fullmatch(NAME, text) is not None


def why_no_node(site: str, node: str) -> str:
    """Why these cannot be the name of a node; empty when they can."""
    for each in (site, node):
        if not is_name(each):
            return f"{each!r} cannot be a name: {A_NAME}"
    if node in RESERVED:
        return f"{node!r} cannot be a node: that name is the gateway's own"
    if len(site) + 1 + len(node) > COMMON_NAME:
        return f"{site}/{node} is longer than the {COMMON_NAME} characters of a certificate's name: shorten one"
    return ""


def is_host(text: str) -> bool:
    """A name in the DNS, in small letters, or an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.match(text) is not None
    return True

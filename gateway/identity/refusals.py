"""What the broker's log says of those it refuses. Pure.

Mosquitto 2.0.11 tells it on `$SYS/broker/log/#` (`log_dest topic`). It does not say why a certificate is not taken:
another authority, ended, revoked and not for clients are one kind. Nor what somebody wanted to say that its access
lists deny: that it cut him off for an error that it has no word for is what it tells of that.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

KINDS: Final = {
    "no_certificate": "brought no certificate",
    "certificate": "brought one that is not taken: another authority, ended, revoked, on hold or not for clients",
    "tls": "do not speak TLS, or none that is taken",
    "handshake": "went away before the handshake was done",
    "too_many": "were more than there is room for",
    "oversized": "sent a packet that is too large",
    "malformed": "sent a packet that cannot be read",
    "protocol": "did not keep to the protocol",
    "denied": "said what they may not say",
    "not_authorised": "have a name that may not connect",
    "silent": "connected and said nothing",
}
"""What they did, by kind: the rest of a sentence."""

_TEXTS: Final = (
    ("peer did not return a certificate", "no_certificate"),
    ("certificate verify failed", "certificate"),
    ("denied: max_connections exceeded", "too_many"),
    ("due to oversize packet", "oversized"),
    ("due to malformed packet", "malformed"),
    ("due to protocol error", "protocol"),
    (", not authorised", "not_authorised"),
    ("Client <unknown> has exceeded timeout", "silent"),
)
_DENIED: Final = re.compile(r"Bad socket read/write on client \S+: Unknown error\.$")
"""MOSQ_ERR_ACL_DENIED is no number of an operating system's error, as which 2.0.11 tells it."""
_ENDED: Final = "unexpected eof while reading"
"""OpenSSL 3 of a connection that ends without a good-bye: of one that was connected it is nothing special."""
_CONNECTED: Final = re.compile(r"New client connected from \S+ as (\S+) \(p\d+, c\d+, k\d+, u'([^']*)'\)")

BURST: Final = 20
"""So many of one kind within a minute are ordinary."""
MINUTE: Final = 60.0


def kind_of(line: str) -> str | None:
    """One of `KINDS`; None where nobody is refused."""
    for text, kind in _TEXTS:
        if text in line:
            return kind
    if _DENIED.search(line):
        return "denied"
    if _ENDED in line:
        return "handshake" if "Client connection from" in line else None
    return "tls" if "OpenSSL Error" in line or "failed: error:" in line else None


def connected(line: str) -> str | None:
    """The name of a node that has connected by its own certificate: its client id is its name."""
    found = _CONNECTED.search(line)
    return found[1] if found and found[1] == found[2] else None


class Bursts:
    """Counts refusals by kind, and says once when there are many."""

    def __init__(
        self, tell: Callable[[str, str], None], kinds: Mapping[str, str] = KINDS, who: str = "the broker"
    ) -> None:
        """`tell` is called with the kind and a sentence; `who` refuses."""
        self._kinds = kinds
        self._who = who
        self.counts = dict.fromkeys(kinds, 0)
        """Since the start."""
        self._tell = tell
        self._began = 0.0
        self._minute = dict.fromkeys(kinds, 0)
        self._told: dict[str, int] = {}
        """What was counted when it was told, of those that go on."""

    def count(self, kind: str, now: float) -> None:
        """`now` is `time.monotonic()`, seconds."""
        self.look(now)
        self.counts[kind] += 1
        self._minute[kind] += 1
        if self._minute[kind] > BURST and kind not in self._told:
            self._told[kind] = self.counts[kind]
            self._tell(kind, f"{self._who} refuses more than {BURST} a minute who {self._kinds[kind]}")

    def look(self, now: float) -> None:
        """Ends bursts that are over."""
        if now - self._began < MINUTE:
            return
        for kind in [kind for kind in self._told if self._minute[kind] <= BURST]:
            more = self.counts[kind] - self._told.pop(kind) + BURST + 1
            self._tell(kind, f"it is over: in all {self._who} refused {more} who {self._kinds[kind]}")
        self._began, self._minute = now, dict.fromkeys(self._kinds, 0)

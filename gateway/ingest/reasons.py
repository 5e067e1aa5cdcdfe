"""Reason codes of MQTT 5 in words for people."""

from collections.abc import Mapping
from typing import Final

FAILURE: Final = 0x80
"""Reason codes from here on are failures (§2.4)."""
REASONS: Final[Mapping[int, str]] = {
    0x00: "normal end",
    0x01: "QoS 1 granted",
    0x02: "QoS 2 granted",
    0x11: "there was no such subscription",
    0x80: "it gives no reason",
    0x81: "it could not read what was sent",
    0x82: "it says that the protocol was broken",
    0x83: "a rule of its own",
    0x84: "it does not speak MQTT 5",
    0x85: "it does not allow this client identifier",
    0x86: "wrong user name or password",
    0x87: "not authorized",
    0x88: "it is not available",
    0x89: "it is busy",
    0x8A: "this client is banned",
    0x8B: "it is shutting down",
    0x8C: "it wants another way to log in",
    0x8D: "it heard nothing for too long",
    0x8E: "another client took the session over; is a second gateway of this site running?",
    0x8F: "it does not allow this topic filter",
    0x90: "it does not allow this topic",
    0x91: "the packet identifier is in use",
    0x93: "it was sent more than it can take at once",
    0x94: "wrong topic alias",
    0x95: "the packet is too large",
    0x96: "too many messages",
    0x97: "a quota is used up",
    0x98: "its administrator ended it",
    0x99: "wrong format of the payload",
    0x9A: "it retains no messages",
    0x9B: "it does not support this QoS",
    0x9C: "another server is to be used for now",
    0x9D: "it has moved to another server",
    0x9E: "it has no shared subscriptions",
    0x9F: "too many connections at once",
    0xA0: "the time for a connection is over",
    0xA1: "it has no subscription identifiers",
    0xA2: "it has no wildcards in subscriptions",
}
"""What a reason code means (§2.4), to stand behind "the broker refused ...:"."""


def reason_words(reason: int, said: str = "") -> str:
    """A reason code for people, with the broker's own words if it gave any."""
    words = REASONS.get(reason, f"reason 0x{reason:02X}, which this program does not know")
    return f"{words} ({said})" if said else words

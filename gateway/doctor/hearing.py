"""What the broker grants to the gateway, asked with its identity beside the running one.

Publishing is asked by an empty message that is not retained and that no node is meant by. Nothing of it stays.
"""

from typing import Any, Final

from msgspec import Struct
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.config import Config
from gateway.doctor.link import Link
from gateway.ingest.receiver import STREAMS

HEARD: Final = (*(stream for stream in STREAMS if stream != "status"), "reply", "config/reported", "update/want")
SAID: Final = ("incident/doctor", "doctor/command", "doctor/update/piece", "audit")
"""Below a site; no node is called `doctor`, and a head that is empty is none."""
DROPPED: Final = "$SYS/broker/publish/messages/dropped"
UPTIME: Final = "$SYS/broker/uptime"
"""Mosquitto tells a count when it changes and forgets it after a minute; this one changes always."""
LISTEN_SECONDS: Final = 10.0
"""For all that the broker keeps of a city."""


class Hearing(Struct, frozen=True):
    """The broker's answers."""

    denied_to_hear: list[str]
    denied_to_say: list[str]
    statuses: list[tuple[str, bytes]]
    """Births and wills by topic, in order of arrival."""
    dropped: int | None
    """Messages that the broker has dropped since its start; None when it has not told within the last minute."""
    tells: bool
    """Whether it tells of itself at all."""


def listen(config: Config) -> Hearing:
    """Subscribe, hear what the broker keeps, and publish. Raises LinkError and OSError."""
    statuses = [f"ganglion/v1/{site}/+/status" for site in config.sites]
    others = [f"ganglion/v1/{site}/+/{stream}" for site in config.sites for stream in HEARD]
    to_say = [f"ganglion/v1/{site}/{what}" for site in config.sites for what in SAID]
    with Link(config) as link:
        # At QoS 0, as nothing is acknowledged here: a broker would stop at so many in flight.
        options = {topic: SubscribeOptions(qos=0) for topic in (*statuses, DROPPED, UPTIME)}
        options |= {topic: SubscribeOptions(qos=0, retainHandling=2) for topic in others}
        reasons = link.wait("suback", _mid(link.client.subscribe(list(options.items())))).reasons
        denied = [topic for topic, reason in zip(options, reasons, strict=True) if reason.is_failure]
        # It deals with one subscription after the other: once it has answered another, all that it keeps has come.
        again = link.client.subscribe(UPTIME, options=SubscribeOptions(qos=0))
        link.wait("suback", _mid(again), LISTEN_SECONDS)
        heard = list(link.messages)
    # A connection for each: Mosquitto 2.0.11 cuts one on which it has denied a message.
    unsaid = [topic for topic in to_say if _denied(config, topic)]
    dropped = [payload for topic, payload, _ in heard if topic == DROPPED]
    return Hearing(
        [topic for topic in denied if topic not in (DROPPED, UPTIME)],
        unsaid,
        [(topic, payload) for topic, payload, _ in heard if topic.endswith("/status")],
        int(dropped[-1]) if dropped and dropped[-1].isdigit() else None,
        any(topic == UPTIME for topic, _, _ in heard),
    )


def _denied(config: Config, topic: str) -> bool:
    with Link(config) as link:
        return bool(link.wait("puback", link.client.publish(topic, b"", 1).mid).reasons[0].is_failure)


def _mid(answer: tuple[Any, int | None]) -> int:
    """Of a packet that was sent; the library gives none when there is no connection any more."""
    if answer[1] is None:
        raise ConnectionError("the connection to the broker is lost")
    return answer[1]

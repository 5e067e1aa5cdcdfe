"""A generated broker that runs, and who talks with it byte by byte."""

import time

from sim_hardware.secure import City
from tests.bench.wire import publish
from tests.gateway.mqtt_raw import PUBACK, SUBACK, Peer, context, subscribe

MINE, OTHER = (f"ganglion/v1/riverside/{node}" for node in ("air-1", "air-2"))
DENIED = "Bad socket read/write on client {}: Unknown error."


class Log(Peer):
    """What the broker tells gateways of what happens at its doors."""

    def __init__(self, city: City) -> None:
        super().__init__(city.broker.gateways_port, context(city.ca, city.identity()))
        self.enter(f"log-{time.monotonic_ns()}").send(subscribe("$SYS/broker/log/#")).read()

    def says(self, words: str) -> None:
        """Waits for a line with these. Raises TimeoutError when there is none."""
        while words not in self.message()[1].decode():
            pass


def node(city: City, name: str = "air-1") -> Peer:
    return Peer(city.broker.port, context(city.ca, city.node("riverside", name))).enter("anything")


def gateway(city: City, client: str = "gateway", name: str = "gateway", *, clean: bool = True) -> Peer:
    return Peer(city.broker.gateways_port, context(city.ca, city.identity(name))).enter(client, clean=clean)


def hears(city: City, topic: str = "ganglion/v1/#") -> Peer:
    """A gateway that hears this."""
    it = gateway(city, f"hears-{time.monotonic_ns()}").send(subscribe(topic))
    assert it.read() == (SUBACK, b"\x00\x01\x01")
    return it


def acknowledged(peer: Peer, topic: str, payload: bytes = b"x") -> None:
    peer.send(publish(topic, payload, 7))
    assert peer.read() == (PUBACK, b"\x00\x07")

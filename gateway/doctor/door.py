"""Whether the broker keeps out who does not belong: tried as an attacker would, with identities made for a moment.

What is said there nobody hears: an empty word in the name of a node that does not exist.
"""

import contextlib
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.config import Config, Http, Mqtt
from gateway.doctor.context import Context
from gateway.doctor.finding import NotAsked, Said, fault, ok
from gateway.doctor.link import Link, LinkError
from gateway.identity import lists
from gateway.identity.issuer import Issuer
from gateway.pki.authority import PkiError
from gateway.pki.certificates import CANARY, key_bytes, new_key
from gateway.pki.lists import of

PLAIN: Final = 1883
"""The port at which brokers speak plain MQTT (IANA)."""
NAME: Final = "doctor"
OTHER: Final = "doctor-other"
"""No nodes have these names."""
MINUTES: Final = 10
HEARD_S: Final = 60.0
"""Within which a broker has read a list that has changed."""
REMAKE: Final = "make the broker's folder anew by `ganglion pki broker --renew`: see docs/broker.md"


def strangers(context: Context) -> Iterator[Said]:
    """Whether somebody without an identity gets in where the gateway needs one, or beside it in plain text."""
    config = context.config
    mqtt = config.mqtt
    if not (mqtt.cert or mqtt.username):
        raise NotAsked("the gateway itself needs no identity there")
    nobody = Mqtt(mqtt.host, mqtt.port, mqtt.ca)
    ways = [(nobody, "at the gateway's port")]
    if mqtt.port != PLAIN:
        ways.append((Mqtt(mqtt.host, PLAIN), f"in plain text at port {PLAIN}"))
    found = [words for settings, words in ways if _lets_in(config, settings)]
    for words in found:
        yield fault(f"the broker lets anybody in {words}", f"set allow_anonymous false there; {REMAKE}")
    if not found:
        yield ok("the broker lets nobody in without an identity")


def nodes(context: Context) -> Iterator[Said]:
    """The nodes' listener: what a stolen identity is worth there, and whether one that was taken back is refused."""
    config = context.config
    table = config.identity
    if table is None or not table.nodes:
        raise NotAsked("identity.nodes does not say where nodes reach the broker")
    issuer = Issuer(Path(table.issuer), Path(config.mqtt.ca), table.days)
    host, port = Http(listen=table.nodes).address
    site = config.sites[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with socket.create_connection((host, port), 2.0):
                pass
        except OSError as error:
            yield fault(f"nobody listens for nodes at {table.nodes}: {error}", "correct identity.nodes")
            return
        at = Mqtt(host, port, config.mqtt.ca)
        if _lets_in(config, at):
            yield fault(f"the broker lets anybody in at {table.nodes}", REMAKE)
            return
        own = _identity(issuer, f"{site}/{NAME}", folder / "own", at)
        try:
            yield from _rights(config, own, site)
        except (LinkError, OSError) as error:
            yield fault(f"the broker does not let in a node that the issuer has signed: {error}", REMAKE)
            return
        gone = _identity(issuer, f"{site}/{NAME}", folder / "gone", at, _taken_back(Path(table.crl), issuer))
        if _lets_in(config, gone):
            yield fault(
                "the broker lets in what was taken back: it does not read identity.crl, or not again",
                "name that file as its crlfile, and have it reload when it changes: see docs/broker.md",
            )
        else:
            yield ok("the broker refuses what was taken back")


def _rights(config: Config, own: Mqtt, site: str) -> Iterator[Said]:
    """Of one node at the broker. Raises LinkError or OSError when it is not let in."""
    root = f"ganglion/v1/{site}"
    with Link(_at(config, own)) as link:
        link.client.subscribe(f"{root}/+/status")
        # It deals with one after the other: what it keeps for the first has come with the answer to the second.
        link.wait("suback", link.client.subscribe(f"{root}/{NAME}/config")[1] or 0)
        heard = [topic for topic, _, _ in link.messages]
    if heard:
        yield fault(f"a node may hear others, such as {heard[0]}", REMAKE)
    said = False
    with contextlib.suppress(LinkError, OSError), Link(_at(config, own)) as link:
        # Mosquitto acknowledges what it denies, and cuts the connection then.
        link.wait("puback", link.client.publish(f"{root}/{OTHER}/status", b"", 1).mid)
        link.wait("suback", link.client.subscribe(f"{root}/{NAME}/config")[1] or 0)
        said = True
    if said:
        yield fault("a node may speak for others", REMAKE)
    if not heard and not said:
        yield ok("a node hears and says at the broker only what is its own")


def _taken_back(crl: Path, issuer: Issuer) -> int:
    """The serial number that the issuer took back last: a broker that did not read the list again knows those before.
    That with which each list begins, if there is none or the broker may not have heard yet."""
    try:
        own = of(issuer.certificate, lists.read(crl)) or ()
        if time.time() - crl.stat().st_mtime < HEARD_S:
            return CANARY
    except (PkiError, OSError):
        return CANARY
    newest = max(
        (line for line in own if line.serial_number != CANARY), key=lambda line: line.revocation_date_utc, default=None
    )
    return newest.serial_number if newest else CANARY


def _lets_in(config: Config, mqtt: Mqtt) -> bool:
    try:
        with Link(_at(config, mqtt)):
            return True
    except (LinkError, OSError):
        return False


def _at(config: Config, mqtt: Mqtt) -> Config:
    return msgspec.structs.replace(config, mqtt=mqtt)


def _identity(issuer: Issuer, name: str, folder: Path, at: Mqtt, serial: int | None = None) -> Mqtt:
    """A connection as a node of this name, by a certificate that holds for some minutes."""
    key = new_key()
    end = (datetime.now(UTC) + timedelta(minutes=MINUTES)).replace(microsecond=0)
    folder.mkdir()
    cert, own = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(issuer.sign(name, key.public_key(), end, serial).public_bytes(Encoding.PEM))
    own.write_bytes(key_bytes(key, Encoding.PEM))
    return msgspec.structs.replace(at, cert=str(cert), key=str(own))

"""The broker, from its name to the rights that it grants."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from cryptography import x509

from gateway.config import Mqtt, is_loopback
from gateway.doctor.context import Context
from gateway.doctor.finding import Said, fault, ok, some, span, warning
from gateway.doctor.installation import ends
from gateway.doctor.link import Link, LinkError
from gateway.ingest.receiver import MAXIMUM_PACKET_SIZE, SESSION_EXPIRY_SECONDS
from gateway.pki.certificates import common_name, hosts_of

CONNECT_SECONDS: Final = 2.0
PROBE_SECONDS: Final = 1.5
"""For what is only asked to understand a failure."""
ALERT_SECONDS: Final = 0.5
"""With TLS 1.3 a broker says that it does not like our certificate after the handshake: so long it is waited for."""
LEAST_PACKET: Final = 8192
"""Bytes of a packet that the gateway must be able to send: a piece of an update, an incident."""
REASONS: Final = {
    134: "check mqtt.username and the password that mqtt.password_env names",
    135: "check mqtt.username and its password, or mqtt.cert; and that the broker knows them",
    132: "use a broker that speaks MQTT 5",
    138: "take this gateway off the broker's list of banned ones",
}
# What OpenSSL says of a certificate that it does not take (X509_V_ERR_...).
EXPIRED, NOT_YET, WRONG_NAME = 10, 9, (62, 64)
# CONNECT of MQTT 5 with an empty client id: what a broker, and nobody else, answers with CONNACK (0x20).
HELLO: Final = bytes((0x10, 13, 0, 4)) + b"MQTT" + bytes((5, 2, 0, 10, 0, 0, 0))


LIMITS: Final = (
    (
        "MaximumQoS",
        1,
        "allows QoS {} only: packs are lost",
        "allow QoS 1 (max_qos) at the broker",
    ),
    (
        "RetainAvailable",
        1,
        "keeps no retained messages: births and open incidents get lost",
        "set retain_available true at the broker",
    ),
    (
        "WildcardSubscriptionAvailable",
        1,
        "takes no subscriptions with +",
        "use a broker that does",
    ),
    (
        "MaximumPacketSize",
        LEAST_PACKET,
        "takes packets of at most {} bytes",
        f"set max_packet_size to at least {MAXIMUM_PACKET_SIZE} at the broker",
    ),
)
"""Property of CONNACK (MQTT 5 §3.2.2.3), the least it must be, what it means if it is less, and the cure."""


def address(context: Context) -> Iterator[Said]:
    mqtt = context.config.mqtt
    try:
        socket.getaddrinfo(mqtt.host, mqtt.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        yield fault(f"the name {mqtt.host} is not known: {error}", "correct mqtt.host, or the machine's name server")
        return
    try:
        socket.create_connection((mqtt.host, mqtt.port), CONNECT_SECONDS).close()
    except TimeoutError:
        yield fault(f"{_at(mqtt)} does not answer", "check mqtt.host and the firewalls on the way")
    except OSError as error:
        yield fault(
            f"nobody listens at {_at(mqtt)}: {error.strerror}", "start the broker, or correct mqtt.host and mqtt.port"
        )
    else:
        yield ok(f"somebody listens at {_at(mqtt)}")


def tls(context: Context) -> Iterator[Said]:
    """Whether the broker speaks TLS, and whether each side takes the other's certificate."""
    mqtt = context.config.mqtt
    if not mqtt.ca:
        if is_loopback(mqtt.host):
            yield ok("plain text, on this machine")
        else:
            yield warning("plain text over the network: passwords and readings can be read", "set mqtt.ca: security.md")
        return
    trust = ssl.create_default_context(cafile=mqtt.ca)
    if mqtt.cert:
        trust.load_cert_chain(mqtt.cert, mqtt.key)
    try:
        with _handshake(mqtt, trust) as connection:
            certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
            connection.settimeout(ALERT_SECONDS)
            with contextlib.suppress(TimeoutError):  # it waits for us to speak: all is well
                if connection.recv(1) == b"":
                    yield fault("the broker hangs up after the handshake", "see the broker's log")
                    return
    except OSError as error:
        yield _no_tls(mqtt, error, context.clock())
        return
    yield ends("the broker's certificate", certificate.not_valid_after_utc, context.clock(), "`ganglion pki server`")


def login(context: Context) -> Iterator[Said]:
    """A connection with the gateway's identity and a client id of its own."""
    config = context.config
    try:
        with Link(config, keeps_session=True) as link:
            if link.session_present:
                yield fault(
                    "the broker gives every program of this user one and the same session: it decides the client id",
                    "take use_username_as_clientid off the gateway's listener: see docs/broker.md",
                )
                return
            limits = link.limits
    except LinkError as error:
        if error.reason is not None:
            yield fault(str(error), REASONS.get(error.reason, "see the broker's log"))
        elif not config.mqtt.ca and _speaks_tls(config.mqtt):
            yield fault(f"{_at(config.mqtt)} speaks TLS, the gateway does not", "set mqtt.ca, or the plain mqtt.port")
        else:
            yield fault(f"{_at(config.mqtt)}: {error}", "check mqtt.port: this is not how a broker answers")
        return
    told = ", ".join(f"{name} {value}" for name, value in limits.items())
    yield ok(f"the broker takes {config.mqtt.username or 'the gateway'}; its limits: {told or 'none'}")
    for key, least, seen, cure in LIMITS:
        if limits.get(key, least) < least:
            yield fault(f"the broker {seen.format(limits[key])}", cure)
    expiry = limits.get("SessionExpiryInterval", SESSION_EXPIRY_SECONDS)
    if expiry < SESSION_EXPIRY_SECONDS:
        yield warning(
            f"the broker forgets a gateway that is away after {span(expiry)}",
            "allow sessions of seven days at the broker, or never be away so long",
        )


def rights(context: Context) -> Iterator[Said]:
    hearing = context.hearing
    for topics, what in ((hearing.denied_to_hear, "subscribe to"), (hearing.denied_to_say, "publish to")):
        if topics:
            yield fault(
                f"the gateway may not {what} {some(topics)}", "add it to the broker's acl_file: see docs/broker.md"
            )
    if not hearing.denied_to_hear and not hearing.denied_to_say:
        yield ok("the broker grants every subscription and publication that it is asked for")


def queue(context: Context) -> Iterator[Said]:
    """What CONNACK does not tell: whether the broker has thrown messages away."""
    hearing, dropped = context.hearing, context.hearing.dropped
    if dropped is None and not hearing.tells:
        yield Said("not asked", "the broker does not show $SYS to the gateway: its queue's limits cannot be seen")
    elif dropped is None:
        yield ok("the broker has dropped nothing within the last minute; of what was before it does not tell")
    elif dropped:
        yield warning(
            f"the broker has dropped {dropped} messages since its start",
            "set max_queued_messages 0 and max_inflight_messages 0 at the broker: see docs/operating.md",
        )
    else:
        yield ok("the broker has dropped nothing since its start")


def _at(mqtt: Mqtt) -> str:
    return f"{mqtt.host}:{mqtt.port}"


def _handshake(mqtt: Mqtt, trust: ssl.SSLContext, patience: float = CONNECT_SECONDS) -> ssl.SSLSocket:
    plain = socket.create_connection((mqtt.host, mqtt.port), patience)
    try:
        return trust.wrap_socket(plain, server_hostname=mqtt.host)
    except BaseException:
        plain.close()
        raise


def _unchecked(mqtt: Mqtt) -> x509.Certificate | None:
    """The certificate at that port, believed or not; None when no TLS is spoken."""
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    try:
        with _handshake(mqtt, trust, PROBE_SECONDS) as connection:
            return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError):
        return None


def _speaks_tls(mqtt: Mqtt) -> bool:
    return _unchecked(mqtt) is not None


def _speaks_mqtt(mqtt: Mqtt) -> bool:
    """Plainly."""
    with contextlib.suppress(OSError), socket.create_connection((mqtt.host, mqtt.port), PROBE_SECONDS) as connection:
        connection.sendall(HELLO)
        return connection.recv(1) == b"\x20"
    return False


def _no_tls(mqtt: Mqtt, error: OSError, now: float) -> Said:
    """Why a handshake did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_believed(mqtt, error, now)
    if _speaks_mqtt(mqtt):
        return fault(
            f"{_at(mqtt)} speaks plain MQTT, the gateway TLS", "set mqtt.port to the broker's TLS port, or no mqtt.ca"
        )
    if "alert" in str(error).lower():
        return fault(
            f"the broker does not take the gateway's certificate: {error}",
            "set mqtt.cert and mqtt.key to an identity that the broker's authority signed and did not revoke",
        )
    return fault(f"no TLS with {_at(mqtt)}: {error}", "check mqtt.port, and the broker's log")


def _not_believed(mqtt: Mqtt, error: ssl.SSLCertVerificationError, now: float) -> Said:
    shown = _unchecked(mqtt)
    if shown is not None and error.verify_code == EXPIRED and shown.not_valid_after_utc.timestamp() < now:
        return ends("the broker's certificate", shown.not_valid_after_utc, now, "`ganglion pki server --renew`")
    if shown is not None and error.verify_code in WRONG_NAME:
        names = ", ".join(hosts_of(shown)) or common_name(shown)
        return fault(
            f"the broker's certificate is for {names}, not for {mqtt.host}",
            "set mqtt.host to one of these, or have one made for it: `ganglion pki server`",
        )
    if error.verify_code == NOT_YET:
        return fault("the broker's certificate is not valid yet", "set this machine's clock right")
    return fault(
        f"the broker's certificate does not hold by mqtt.ca: {error.verify_message}",
        "set mqtt.ca to the ca.pem of the authority that signed it",
    )

"""Mosquitto's configuration: who may connect, say and hear what, and how much. Texts, from one record of settings.

Written for 2.0, from 2.0.11 on. Paths are relative to the folder that the texts lie in: the broker is started there.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

ROOT: Final = "ganglion/v1"

NODE_SAYS: Final = (
    "telemetry",
    "event",
    "health",
    "status",
    "reply",
    "config/reported",
    "update/want",
    "update/reported",
    "identity/want",
)
NODE_HEARS: Final = ("config", "command", "update", "update/piece", "identity")
"""Below a node's own topic."""

READER_HEARS: Final = ("+/+/telemetry", "+/+/event", "+/+/health", "+/+/status", "+/incident/+", "+/hold", "+/audit")
"""Below `ROOT`: what was measured and seen. No configuration, for it may hold a password, and no command."""

NODE_KEEPS: Final = ("status", "config/reported", "update/reported")
"""What of a node's words the broker keeps: a gateway takes it back when a meter is deleted."""

GATEWAY_SAYS: Final = (
    *(f"+/+/{each}" for each in (*NODE_HEARS, *NODE_KEEPS)),
    "+/incident/+",
    "+/hold",
    "+/audit",
)
"""Below `ROOT`. No telemetry: a gateway that was taken over can invent incidents, but no readings."""

PACKET_BYTES: Final = 65_536
GATEWAYS: Final = 64
FILES: Final = 524_288
"""Descriptors, as many as Debian lets a service have: memory ends first. A broker without one could not read its lists
when it is told to, and Mosquitto 2.0 then lets in whom it did not before."""

Port = Annotated[int, Meta(ge=1, le=65_535)]


class Fleet(Struct, frozen=True):
    """One identity that speaks for all nodes of a site, such as a simulator or a bridge from another network."""

    name: str
    site: str = "+"
    """`+` for all sites."""


class Broker(Struct, frozen=True, kw_only=True):
    """What is particular to a broker; `brokerfolder.checked` looks whether it can be written down."""

    nodes: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """So many nodes are expected. The nodes' listener takes twice as many connections, and a hundred."""
    nodes_listen: str = ""
    """Address of the nodes' listener; empty: all."""
    nodes_port: Port = 8883
    gateways_listen: str = "127.0.0.1"
    gateways_port: Port = 8884
    queue_mib: Annotated[int, Meta(ge=1)] = 256
    """Of messages that wait for one client, by their content."""
    data: str = "/var/lib/mosquitto/"
    """Folder for sessions and queues."""
    crl: str = "crl.pem"
    user: str = ""
    """Whom root becomes; empty: `mosquitto`."""
    gateways: tuple[str, ...] = ("gateway",)
    """Names of identities that do what a gateway does."""
    also_write: tuple[str, ...] = ()
    """Further topics that gateways write and everybody at their listener reads."""
    fleets: tuple[Fleet, ...] = ()
    readers: tuple[str, ...] = ()
    """Names of identities that hear what nodes measure and what gateways find, and say nothing."""
    home_assistant: str = ""
    """The name of Home Assistant's identity: a reader that also writes `homeassistant/status`."""

    @property
    def connections(self) -> int:
        """Of the nodes' listener, at most."""
        return 2 * self.nodes + 100

    @property
    def memory_mib(self) -> int:
        """What the broker may use: twice what a full queue and all connections take. Nothing regular gets there.

        Measured with 2.0.11: 622 bytes for a queued pack of 300, 48 KiB for a connection with TLS, also a silent one.
        """
        return 2 * (self.queue_mib * 622 // 300 + self.connections * 48 // 1024 + 32)


def configuration(broker: Broker) -> str:
    """The text of `mosquitto.conf`."""
    user = f"user {broker.user}\n" if broker.user else ""
    return f"""\
# Made by `ganglion pki broker`: change its options and make it again. docs/broker.md tells it all, limit by limit.
# Files are named as seen from this folder, in which the broker must be started.

# Who may connect and what he may say is each listener's own; nothing applies to both by accident.
per_listener_settings true
{user}
# What a gateway that is away has not fetched survives the broker's death, but for the last 5 s. Nodes send the last
# 10 s again when their connection breaks: a longer interval would lose packs.
persistence true
persistence_location {broker.data}
autosave_interval 5
# A node that was away for so long is forgotten, with what waits for it. The gateway's own session ends after 7 days.
persistent_client_expiration 14d

# The queue for a gateway that is away. Nodes keep their packs themselves 5 s after the gateway's journal is full and
# 5 min after it has gone: 1000 nodes with a pack of 300 bytes a minute queue 2 MiB in that time. The bound is for the
# day when somebody floods: beyond it Mosquitto drops what it has acknowledged, which its log says and $SYS counts. The
# stock bound of 1000 messages would be reached each time. `memory_limit` is no bound: at it no gateway can connect and
# fetch what waits, so the broker stays full.
max_queued_bytes {broker.queue_mib * 2**20}
max_queued_messages 0
max_inflight_messages 0
# Nodes send 4 KiB at most, incidents are some KiB: whoever sends more than this is cut off.
max_packet_size {PACKET_BYTES}
# Without it each piece of an update waits for about 45 ms.
set_tcp_nodelay true

# To the journal; and as messages below $SYS/broker/log/, where the gateway counts who was refused.
log_dest stderr
log_dest topic
log_type error
log_type warning
log_type notice
connection_messages true

# --- nodes: certificates of the issuer alone; the name in it is user name and client id too
{_listener(broker.nodes_port, broker.nodes_listen, "clients.pem", broker.crl, "nodes.acl")}\
use_username_as_clientid true
# {broker.nodes} nodes, the old connections of as many that came back by another way, and a hundred. One more is
# refused, and nobody who is connected notices. Whoever says nothing counts for 90 s.
max_connections {broker.connections}

# --- gateways and their tools: certificates of the authority alone, one name with several client ids
{_listener(broker.gateways_port, broker.gateways_listen, "ca.pem", broker.crl, "gateways.acl")}\
# These have connections of their own: a flood at the other door takes none of them.
max_connections {GATEWAYS}
"""


def _listener(port: int, address: str, believed: str, crl: str, acl: str) -> str:
    return f"""\
listener {port}{" " if address else ""}{address}
allow_anonymous false
acl_file {acl}
cafile {believed}
crlfile {crl}
certfile cert.pem
keyfile key.pem
require_certificate true
use_identity_as_username true
tls_version tlsv1.2
# 1.2 with a fresh key for each connection and authenticated encryption alone; nodes speak the first of these.
ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305
ciphers_tls1.3 TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256
"""


def nodes_access() -> str:
    """The text of `nodes.acl`: each below its own name, and only what is a node's to say and to hear.

    Mosquitto warns that the last line contains no name: that cannot be cut in two, so sites may hear each other's hold.
    """
    own = [f"pattern write {ROOT}/%u/{each}" for each in NODE_SAYS]
    own += [f"pattern read {ROOT}/%u/{each}" for each in NODE_HEARS]
    return _lines([*own, f"pattern read {ROOT}/+/hold"])


def gateways_access(broker: Broker) -> str:
    """The text of `gateways.acl`: by name, so whoever is not named here may do nothing."""
    also = [f"topic read {each}" for each in broker.also_write]
    everything = [f"topic read {ROOT}/#", "topic read $SYS/#", *also]
    measured = [*(f"topic read {ROOT}/{each}" for each in READER_HEARS), *also]
    announced = "homeassistant/device/+/config"
    lines: list[str] = []
    for name in broker.gateways:
        lines += _of(name, everything, (f"topic write {ROOT}/{each}" for each in GATEWAY_SAYS))
        lines += [f"topic write {each}" for each in broker.also_write]
        if broker.home_assistant:
            lines += [f"topic readwrite {announced}", "topic read homeassistant/status"]
    for fleet in broker.fleets:
        below = f"{ROOT}/{fleet.site}"
        lines += _of(
            fleet.name,
            (f"topic write {below}/+/{each}" for each in NODE_SAYS),
            (f"topic read {below}/+/{each}" for each in NODE_HEARS),
            [f"topic read {below}/hold"],
        )
    for name in broker.readers:
        lines += _of(name, measured)
    if broker.home_assistant:
        own = ["topic readwrite homeassistant/status", f"topic read {announced}"]
        lines += _of(broker.home_assistant, measured, own)
    return _lines(lines)


def service(broker: Broker, folder: str) -> str:
    """The text of a drop-in for Debian's `mosquitto.service`: this configuration alone, and enough descriptors."""
    return f"""\
# Made by `ganglion pki broker`, for /etc/systemd/system/mosquitto.service.d/
[Service]
WorkingDirectory={folder}
ExecStart=
ExecStart=/usr/sbin/mosquitto -c {folder}/mosquitto.conf
# A connection is a descriptor; systemd's own limit is 1024. Memory ends before these do.
LimitNOFILE={FILES}
# Never reached by what the broker queues and whom it serves: who gets there is out of control, and is started again.
MemoryMax={broker.memory_mib}M
Restart=on-failure
RestartSec=2
"""


def _of(name: str, *rights: Iterable[str]) -> list[str]:
    return ["", f"user {name}", *(line for some in rights for line in some)]


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(["# Made by `ganglion pki broker`: change its options and make it again.", *lines, ""])

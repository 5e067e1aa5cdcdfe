"""Who emulated nodes are where they report over TLS: certificates of an authority's folder, made as they are needed."""

import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import GanglionError

if TYPE_CHECKING:
    from sim_hardware.fleet.fleet import Tls

DAYS: Final = 365
"""How long an emulated node's certificate holds."""
_WRITERS: Final = 16
"""Identities that are made at once: each waits for the disk several times, and seldom for the processor."""
FLEET: Final = "fleet"
"""What modelled nodes are to the broker, all of them together."""


def boards(tls: "Tls | None", site: str, nodes: Sequence[str]) -> dict[str, Path]:
    """The folder of each node's identity; none without TLS. Those that have none that holds are given one.

    Raises PkiError.
    """
    if tls is None:
        return {}
    from gateway.pki.authority import Authority

    authority = Authority(tls.pki)
    valid = [each for each in authority.identities() if each.state == "valid"]
    held = {each.name for each in valid if each.kind == "node"}
    left_s = min([each.ends - time.time() for each in valid if each.kind == "issuer"], default=0.0)
    days = min(DAYS, int(left_s // 86_400))

    def own(node: str) -> Path:
        folder = tls.pki / "node" / site / node
        if f"{site}/{node}" not in held:
            authority.node(site, node, days, renew=folder.exists())
        return folder

    with ThreadPoolExecutor(_WRITERS) as pool:
        return dict(zip(nodes, pool.map(own, nodes), strict=True))


def context(tls: "Tls") -> ssl.SSLContext:
    """Of a client that is `FLEET`. Raises PkiError, and GanglionError when a file cannot be used."""
    from gateway.pki.authority import Authority

    own = tls.pki / "gateway" / FLEET
    if not own.exists():
        Authority(tls.pki).gateway(FLEET)
    try:
        made = ssl.create_default_context(cafile=tls.pki / "ca.pem")
        made.load_cert_chain(own / "cert.pem", own / "key.pem")
    except OSError as error:
        raise GanglionError(f"the identity in {own} cannot be used: {error}") from error
    return made

"""Installations to be made faulty, and what `ganglion doctor` says of them."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.doctor.context import Context
from gateway.doctor.finding import Finding
from gateway.doctor.table import CHECKS, examine
from gateway.journal.store import Journal
from gateway.pki.authority import Authority
from gateway.pki.certificates import key_bytes, new_key, signed

Clock = Callable[[], float]


def needed(*names: str) -> set[str]:
    """These checks, and all that they need."""
    found = set(names)
    for check in reversed(CHECKS):
        if check.name in found:
            found |= set(check.needs)
    return found


class Installation:
    """A folder with a `ganglion.toml`; `write` replaces the file, a table a keyword."""

    def __init__(self, folder: Path, **tables: dict[str, object]) -> None:
        self.folder = folder
        self.file = folder / "ganglion.toml"
        self.data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self.write(**tables)

    def write(self, *, data_dir: str = "data", **tables: dict[str, object]) -> None:
        def value(each: object) -> str:
            return str(each) if isinstance(each, int) else f'"{each}"'

        lines = ['sites = ["riverside"]', f'data_dir = "{data_dir}"']
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {value(each)}" for key, each in table.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def journal(self, max_bytes: int = 2**20) -> Journal:
        return Journal.open(self.data, max_bytes)

    def context(self, *, clock: Clock = time.time, write: bool = False, offline: bool = False) -> Context:
        return Context(self.file, clock=clock, write=write, offline=offline)

    def doctor(self, name: str, context: Context | None = None) -> list[Finding]:
        """What one check finds; those that it needs are asked before."""
        checks = [check for check in CHECKS if check.name in needed(name)]
        return [each for each in examine(context or self.context(), checks) if each.check == name]

    def says(self, name: str, context: Context | None = None) -> tuple[str, str]:
        """The level of the worst finding of a check, and its words with the cure."""
        order = ("fault", "warning", "not asked", "ok")
        worst = min(self.doctor(name, context), key=lambda each: order.index(each.level))
        assert worst.level in ("ok", "not asked") or worst.cure, worst
        return worst.level, f"{worst.seen} -> {worst.cure}"


def certify(city: Authority, kind: str, hosts: Sequence[str], ends: timedelta) -> Path:
    """An identity like those of `ganglion pki` that ends so long from now, also before; its folder."""
    key = new_key()
    end = (datetime.now(UTC) + ends).replace(microsecond=0)
    certificate = signed((city.certificate, city._key), key, kind, hosts[0] if hosts else "gateway", hosts, end)
    folder = city.folder / f"{kind}-{ends.days}-{len(list(city.folder.iterdir()))}"
    folder.mkdir()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key_bytes(key, Encoding.PEM))
    return folder


def listener(city: Authority, identity: Path, *, asks: bool = True) -> str:
    """Mosquitto's settings to speak TLS at its port; with `asks` only to whom the authority has signed."""
    wants = "require_certificate true\nuse_identity_as_username true\n" if asks else ""
    return (
        f"cafile {city.folder}/ca.pem\ncertfile {identity}/cert.pem\nkeyfile {identity}/key.pem\n{wants}"
        "allow_anonymous true"
    )

"""Configuration, secrets, TLS files and the folder of the journal: what can be seen without asking anybody."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.config import Influx, Mqtt
from gateway.control.token import user_name
from gateway.doctor.context import Context
from gateway.doctor.finding import Said, fault, ok, parted, some, span, warning
from gateway.errors import ConfigError
from gateway.secret import secret_of

NETWORK_DISKS: Final = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs"}
RAM_DISKS: Final = {"tmpfs", "ramfs"}
LEAST_FREE: Final = 64 * 2**20
"""Below so many bytes of free disk the journal's own work (its log, its index) may fail."""
SOON_SECONDS: Final = 30 * 86_400
"""A certificate that ends within so long wants to be renewed now."""


def configuration(context: Context) -> Iterator[Said]:
    config = context.config
    yield ok(f"{context.path} is read; sites: {some(config.sites)}")


def broker_password(context: Context) -> Iterator[Said]:
    yield _secret("mqtt", context.config.mqtt, "password")


def database_token(context: Context) -> Iterator[Said]:
    yield _secret("influx", context.config.influx, "token")


def _secret(key: str, table: Mqtt | Influx, name: str) -> Said:
    variable, file = getattr(table, f"{name}_env"), getattr(table, f"{name}_file")
    key = f"{key}.{name}_{'file' if file else 'env'}"
    try:
        value = secret_of(table, name)
    except ConfigError as error:
        if file:
            return fault(*parted(str(error), f"chmod 600 {file}, as the gateway's user"))
        return fault(
            f"{key} names {variable}, which is not set here",
            f"set {variable}; if the service has it from a file of its own, run doctor with that file's variables",
        )
    if variable and not value:
        return fault(f"{variable} is set, but empty", f"give {variable} its value, or leave {key} away")
    return ok(f"{variable or file} is set" if variable or file else f"{key} is not used")


def own_certificate(context: Context) -> Iterator[Said]:
    """The gateway's TLS files."""
    mqtt = context.config.mqtt
    if not mqtt.ca:
        yield ok("no TLS is configured")
        return
    now = context.clock()
    authorities = _certificates("mqtt.ca", mqtt.ca)
    end = min(each.not_valid_after_utc for each in authorities)
    yield ends("the certificate of mqtt.ca", end, now, "`ganglion pki init` makes another authority")
    if not mqtt.cert:
        return
    own = _certificates("mqtt.cert", mqtt.cert)[0]
    yield ends("the certificate of mqtt.cert", own.not_valid_after_utc, now, "`ganglion pki gateway --renew`")
    try:
        key = load_pem_private_key(Path(mqtt.key).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        yield fault(f"mqtt.key: {mqtt.key} is no readable key: {error}", "give the key of mqtt.cert, PEM, no password")
        return
    if key.public_key() != own.public_key():
        yield fault(
            f"mqtt.key: {mqtt.key} is not the key of {mqtt.cert}",
            "take cert.pem and key.pem from the same folder of `ganglion pki`",
        )


def _certificates(key: str, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key}: {path} is no readable PEM certificate: {error}; check path, owner and form"
        ) from error


def ends(what: str, end: datetime, now: float, how: str) -> Said:
    """What is to be said of the day a certificate ends."""
    left = (end - datetime.fromtimestamp(now, UTC)).total_seconds()
    if left < 0:
        return fault(f"{what} has ended on {end:%Y-%m-%d}", f"renew it ({how}), or set this machine's clock right")
    if left < SOON_SECONDS:
        return warning(f"{what} ends in {span(left)}, on {end:%Y-%m-%d}", f"renew it: {how}")
    return ok(f"{what} holds until {end:%Y-%m-%d}")


def data_dir(context: Context) -> Iterator[Said]:
    """The folder: whether it may be written, on what it lies, and how much room it has."""
    folder = context.folder
    there = next(each for each in (folder, *folder.parents) if each.exists())
    user = user_name(os.geteuid())
    if not there.is_dir():
        yield fault(f"{there} is no folder", f"move it away, or set data_dir to a folder (now {folder})")
        return
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        yield fault(
            f"{there} cannot be written by {user}; it belongs to {_owner(there)}",
            f"give it to the gateway's user (chown), or run doctor as that user (not as {user})",
        )
        return
    strange = [each for each in folder.glob("journal.*") if each.stat().st_uid != folder.stat().st_uid]
    if strange:
        yield fault(
            f"{strange[0]} belongs to {_owner(strange[0])}, the folder to {_owner(folder)}",
            f"chown -R {_owner(folder)} {folder}; start the gateway as one user only",
        )
    if there != folder:
        yield warning(f"{folder} is not there yet", "start the gateway, which makes it; or correct data_dir")
    else:
        yield ok(f"{folder} belongs to {_owner(folder)}, and {user} can write there")
    yield from _disk(there, _file_system(there))
    yield _room(context, there)


def _owner(path: Path) -> str:
    return user_name(path.stat().st_uid)


def file_system(path: Path, mounts: str) -> str:
    """The type of file system that holds `path`, by the text of /proc/self/mountinfo; empty when it does not tell."""
    found: tuple[int, str] = (-1, "")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        place = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4]))
        if path.is_relative_to(place):
            found = max(found, (len(place.parts), right.split()[0]), key=lambda each: each[0])
    return found[1]


def _file_system(path: Path) -> str:
    mounts = Path("/proc/self/mountinfo")
    return file_system(path.resolve(), mounts.read_text()) if mounts.exists() else ""


def _disk(folder: Path, kind: str) -> Iterator[Said]:
    if kind in RAM_DISKS:
        yield fault(
            f"{folder} is on a RAM disk ({kind}): what was acknowledged is lost with the power",
            "set data_dir to a folder on a disk",
        )
    elif kind in NETWORK_DISKS:
        yield fault(
            f"{folder} is on a network share ({kind}), whose locks and writes cannot be relied on",
            "set data_dir to a folder on a disk of this machine",
        )


def _room(context: Context, folder: Path) -> Said:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    return room(folder, free, context.config.journal.max_bytes, sum(
        each.stat().st_size for each in context.folder.glob("journal.*")
    ))  # fmt: skip


def room(folder: Path, free: int, max_bytes: int, held: int) -> Said:
    """What is to be said of free bytes on the disk, where the journal takes `held` of `max_bytes`."""
    seen = f"the disk of {folder} has {free / 2**20:,.0f} MiB free"
    if free < LEAST_FREE:
        return fault(f"{seen}: the journal will stop taking packs", "make room on that disk")
    if free < max_bytes - held:
        return warning(
            f"{seen}, but the journal may still grow by {(max_bytes - held) / 2**20:,.0f} MiB (journal.max_bytes)",
            "make room, or lower journal.max_bytes below what is free",
        )
    return ok(f"{seen}; the journal may grow by {max(0, max_bytes - held) / 2**20:,.0f} MiB")

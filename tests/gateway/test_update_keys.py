"""The anchor, the keys it delegates to, and what the command line refuses before boards have to."""

import os
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from gateway.update import keys
from gateway.update.delegation import MAX_SERIAL, Delegation, delegated_text
from gateway.update.errors import UpdateError
from gateway.update.package import Manifest, Package
from sim_hardware.servers import Mosquitto
from tests.firmware.packages import delegation, key, other_key, signer
from tests.gateway.commandline import CommandLine, sentence

ANCHOR = key().public_key()


def make(version: str = "1.2.3", **more: bytes) -> Package:
    files = {"main.mpy": b"M\x06\x00\x1f", **{f"{name}.mpy": data for name, data in more.items()}}
    return Package.make(files, version, ("esp32-devkit",))


def by(serial: int, number: int | None = None) -> Manifest:
    number = serial if number is None else number
    return keys.sign(make(), signer(number), delegation(serial, number)).manifest


def test_a_delegated_key_signs_in_the_anchors_name() -> None:
    manifest = by(1)
    assert keys.is_signed(manifest, ANCHOR)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest
    assert b'"by"' not in msgspec.json.encode(keys.sign(make(), key()).manifest), "boards of old read the anchor's own"
    with pytest.raises(UpdateError, match="is for another key"):
        keys.sign(make(), signer(2), delegation(1))
    for serial in (0, -1, MAX_SERIAL + 1):
        with pytest.raises(UpdateError, match="no delegation"):
            keys.delegate(key(), serial, signer(1).public_key())


def test_what_the_anchor_has_not_said_is_refused_in_words() -> None:
    good, replace = by(1), msgspec.structs.replace
    assert good.by is not None
    forged = keys.delegate(other_key(), 1, signer(1).public_key())
    changes = {"serial": 2, "key": delegation(2).key, "signature": forged.signature}
    assert set(changes) == set(Delegation.__struct_fields__)
    for name, value in changes.items():
        assert "not made by the anchor" in keys.refusal(replace(good, by=replace(good.by, **{name: value})), ANCHOR)
    swapped = replace(good, signature=good.by.signature, by=replace(good.by, signature=good.signature))
    assert "not made by the anchor" in keys.refusal(swapped, ANCHOR)
    assert "not signed by the key of delegation 5" in keys.refusal(replace(good, by=delegation(5, 1)), ANCHOR)
    assert "not signed by the key of delegation 1" in keys.refusal(replace(good, version="9.0.0"), ANCHOR)
    assert "not signed by the anchor" in keys.refusal(replace(good, by=None), ANCHOR)
    assert "not signed by the anchor" in keys.refusal(keys.sign(make(), signer(1)).manifest, ANCHOR)
    assert "is not signed" in keys.refusal(make().manifest, ANCHOR)
    assert keys.refusal(good, other_key().public_key())


def test_no_delegation_is_a_manifest() -> None:
    """The anchor signs both: neither text may ever be the other."""
    assert delegated_text(1, "A" * 512).startswith(b"ganglion update key 1\n")
    assert by(1).signed_text().startswith(b"ganglion update 1\n")


def test_a_file_that_is_no_delegation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d"
    whole = msgspec.json.encode(delegation(1))
    more = [
        whole.replace(b'"serial":1', b'"serial":' + each) for each in (b"0", b"true", b"1.5", b"2147483648", b'"1"')
    ]
    for data in (b"", b"{}", b"\xff", b"[" * 4000, whole[:-1], whole[:-1] + b',"x":1}', whole + bytes(5000), *more):
        path.write_bytes(data)
        with pytest.raises(UpdateError, match="no delegation of"):
            Delegation.load(path)
    with pytest.raises(UpdateError, match="cannot be read"):
        Delegation.load(tmp_path / "none")
    with pytest.raises(UpdateError, match="exists"):
        delegation(1).save(path)


def test_a_public_key_of_another_length_is_none(tmp_path: Path) -> None:
    path = tmp_path / "update.key"
    for text in (f"{generate_private_key(65_537, 2048).public_key().public_numbers().n:x}", "-1", "0", "x", "f" * 9000):
        path.write_text(text)
        with pytest.raises(UpdateError):
            keys.load_public(path)


class Cli(CommandLine):
    """`ganglion update`; an argument that begins with @ is a file in the folder."""

    def __call__(self, line: str) -> str:
        result = self.invoke("update", *line.replace("@", f"{self.folder}/").split())
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def error(self, line: str) -> str:
        return sentence(self.invoke("update", *line.replace("@", f"{self.folder}/").split()))


def test_the_whole_ceremony(tmp_path: Path, broker: Mosquitto) -> None:
    """As docs/updates.md tells it: an anchor, a signing key, an update; then the key is stolen, and another follows."""
    cli = Cli(tmp_path, broker.port)
    for name in ("anchor", "signing-1", "signing-2"):
        (tmp_path / f"{name}.pass").write_text(f"the words of {name}\n")
        (tmp_path / f"{name}.pass").chmod(0o600)
        cli(f"keygen @{name}.pem --public @{name}.pub --passphrase-file @{name}.pass")
        assert stat.S_IMODE(os.stat(tmp_path / f"{name}.pem").st_mode) == 0o600
        assert b"ENCRYPTED" in (tmp_path / f"{name}.pem").read_bytes()
    anchor = "--anchor @anchor.pem --passphrase-file @anchor.pass"
    for n in (1, 2):
        cli(f"delegate {anchor} --serial {n} --key @signing-{n}.pub -o @signing-{n}.delegation")
    assert "exists" in cli.error(f"delegate {anchor} --serial 3 --key @signing-1.pub -o @signing-1.delegation")

    make("1.2.3").save(tmp_path / "one.update")
    make("1.2.4", x=b"x").save(tmp_path / "two.update")
    by_first = "--key @signing-1.pem --passphrase-file @signing-1.pass"
    by_second = "--key @signing-2.pem --passphrase-file @signing-2.pass --delegation @signing-2.delegation"
    assert "another key" in cli.error(f"sign @one.update {by_first} --delegation @signing-2.delegation")
    cli(f"sign @one.update {by_first}")
    to = "--node air-1 --public @anchor.pub"
    assert "was not signed by the anchor" in cli.error(f"publish @one.update {to}")
    assert "signed by delegation 1" in cli(f"sign @one.update {by_first} --delegation @signing-1.delegation")
    assert "signed by delegation 1" in cli("verify @one.update --public @anchor.pub")
    assert "boards with" in cli.error("verify @one.update --public @signing-1.pub")
    assert "offered to 1 node" in cli(f"publish @one.update {to}")

    # The first key is stolen. What runs is signed anew: that alone ends it.
    cli(f"sign @one.update {by_second}")
    cli(f"publish @one.update {to}")
    cli(f"sign @two.update {by_first} --delegation @signing-1.delegation")
    refused = cli.error(f"publish @two.update {to}")
    assert "signed by delegation 1, and boards have been offered 2" in refused
    cli(f"sign @two.update {by_second}")
    cli(f"publish @two.update {to}")
    # The anchor is above all delegations.
    cli("sign @two.update --key @anchor.pem --passphrase-file @anchor.pass")
    cli(f"publish @two.update {to}")


def test_a_passphrase_in_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    cli, path = Cli(tmp_path, 1), tmp_path / "pass"
    line = "keygen @k.pem --public @k.pub --passphrase-file @pass"
    assert "cannot be read" in cli.error(line)
    path.write_text("words")
    path.chmod(0o644)
    assert "chmod 600" in cli.error(line)
    path.chmod(0o600)
    path.write_text("\n")
    assert "is empty" in cli.error(line)
    assert "not both" in cli.error(f"{line} --passphrase-env WORDS")
    assert not (tmp_path / "k.pem").exists()
    assert not (tmp_path / "k.pub").exists()

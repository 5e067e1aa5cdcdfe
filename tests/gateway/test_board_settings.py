"""A node's config.json out of what a person says."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import load_der_x509_certificate

from gateway.board import identity
from gateway.board.errors import SettingsError
from gateway.board.settings import apply, check, mqtt_of
from gateway.cli.flash import FIRMWARE
from gateway.pki.authority import Authority, PkiError

TLS = {name: f"identity/{name}.der" for name in ("ca", "issuer", "cert", "key")}


@pytest.mark.parametrize(
    ("url", "tls", "table"),
    [
        ("mqtt://10.0.0.2", None, {"host": "10.0.0.2", "port": 1883}),
        ("mqtt://broker.example:1884/", None, {"host": "broker.example", "port": 1884}),
        ("mqtts://broker.example", TLS, {"host": "broker.example", "port": 8883, "tls": TLS}),
        ("mqtt://[fd00::1]:1883", None, {"host": "fd00::1", "port": 1883}),
    ],
)
def test_the_broker(url: str, tls: dict[str, str] | None, table: dict[str, Any]) -> None:
    assert mqtt_of(url, tls=tls) == table
    assert mqtt_of(url, "u", "p", tls) == {**table, "user": "u", "password": "p"}


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.2",
        "http://10.0.0.2",
        "mqtt://",
        "mqtt://h:port",
        "mqtt://h:99999",
        "mqtt://u:p@h",
        "mqtt://h/x",
        "mqtts://h",
    ],
)
def test_what_is_no_broker(url: str) -> None:
    with pytest.raises(SettingsError, match="--broker"):
        mqtt_of(url)


def test_an_identity_is_of_use_with_tls_only() -> None:
    with pytest.raises(SettingsError, match="mqtts://"):
        mqtt_of("mqtt://h", tls=TLS)


def test_settings_find_their_place() -> None:
    config: dict[str, Any] = {"mqtt": {"host": "h"}}
    apply(
        config,
        ["lanes=1", "window_s=30", "ntp=10.0.0.2", "mqtt.keepalive_s=20", "gas=true", "particles=sps30", "a.b.c=x=y"],
    )
    assert config == {
        "mqtt": {"host": "h", "keepalive_s": 20},
        "sensors": {"lanes": 1, "gas": True, "particles": "sps30"},
        "window_s": 30,
        "ntp": "10.0.0.2",
        "a": {"b": {"c": "x=y"}},
    }


@pytest.mark.parametrize("assignment", ["lanes", "=1", "mqtt.host.x=1"])
def test_what_is_no_setting(assignment: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        apply({"mqtt": {"host": "h"}}, [assignment])


def test_the_firmware_itself_checks() -> None:
    good = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "h"}}
    check(good, FIRMWARE)
    for wrong, said in (
        ({"node": "Water 1"}, "node must be 1 to 32"),
        ({"windw_s": 1}, "unknown key windw_s"),
        ({"mqtt": {"host": "h", "port": 0}}, "mqtt.port must be"),
    ):
        with pytest.raises(SettingsError, match=said):
            check({**good, **wrong}, FIRMWARE)


def test_a_source_without_a_check(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot check the configuration"):
        check({}, tmp_path)


def test_identities_come_as_der(tmp_path: Path) -> None:
    """From PEM as from DER; each file is what it says."""
    authority = Authority.create(tmp_path / "pki", "city")
    folder = Path(authority.node("riverside", "water-1").folder)
    given = tmp_path / "pki/ca.pem", folder / "cert.pem", folder / "key.pem"
    pem = identity.load(*given, tmp_path / "pki/issuer/cert.pem")
    der = identity.load(folder / "ca.der", folder / "cert.der", folder / "key.der", folder / "issuer.der")
    assert pem == der
    assert identity.load(*given) == {name: each for name, each in pem.items() if name != "issuer"}
    assert {name: path for name, (path, _) in pem.items()} == TLS
    load_der_x509_certificate(pem["ca"][1])
    load_der_private_key(pem["key"][1], None)


def test_identities_that_are_none(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "pki", "city")
    folder = Path(authority.node("riverside", "water-1").folder)
    with pytest.raises(SettingsError, match="--ca is missing"):
        identity.authority_of(None)
    assert identity.load(None, None, None) == {}
    ca, cert, key = folder / "ca.der", folder / "cert.pem", folder / "key.pem"
    with pytest.raises(SettingsError, match="--key is missing"):
        identity.load(ca, cert, None)
    with pytest.raises(SettingsError, match=r"--cert: .* is no certificate"):
        identity.load(ca, key, key)
    with pytest.raises(SettingsError, match=r"--key: .* is no private key"):
        identity.load(ca, cert, cert)
    with pytest.raises(SettingsError, match=r"--ca: .* cannot be read"):
        identity.load(folder / "none", cert, key)


def test_an_identity_out_of_the_authority(tmp_path: Path) -> None:
    """Made once; the same again; another after it was revoked; and none that has ended."""
    authority = Authority.create(tmp_path / "pki", "city")
    first = identity.of_authority(authority.folder, "riverside", "water-1")
    assert first.keys() == set(TLS.values())
    assert first == identity.of_authority(authority.folder, "riverside", "water-1")
    (made,) = [each for each in authority.identities() if each.kind == "node"]
    assert load_der_x509_certificate(first[TLS["cert"]]).serial_number == int(made.serial, 16)
    assert first == {path: (Path(made.folder) / f"{name}.der").read_bytes() for name, path in TLS.items()}
    authority.revoke("riverside/water-1")
    second = identity.of_authority(authority.folder, "riverside", "water-1")
    assert second[TLS["key"]] != first[TLS["key"]]
    authority.node("riverside", "water-1", days=-1, renew=True)
    with pytest.raises(SettingsError, match=r"is expired: .* --renew"):
        identity.of_authority(authority.folder, "riverside", "water-1")
    (Path(authority.node("riverside", "water-2").folder) / "issuer.der").unlink()
    with pytest.raises(SettingsError, match=r"issuer.der cannot be read: .* --node water-2 --renew"):
        identity.of_authority(authority.folder, "riverside", "water-2")


def test_an_authority_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="holds no authority"):
        identity.of_authority(tmp_path, "riverside", "water-1")

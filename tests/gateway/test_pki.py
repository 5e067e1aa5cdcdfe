"""The certificate authority: what it makes is held against OpenSSL and Mosquitto, and nothing is lost on the way."""

import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from cryptography import x509
from typer.testing import CliRunner

from gateway import files
from gateway.cli.main import make_app
from gateway.errors import GanglionError
from gateway.pki import lists
from gateway.pki.authority import DAYS, Authority, Identity, PkiError
from gateway.pki.certificates import common_name, hosts_of

BOARD_FILES = {"cert.pem", "key.pem", "ca.der", "issuer.der", "cert.der", "key.der"}


@pytest.fixture
def city(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki", "Riverside")


def openssl(*arguments: object, ok: bool = True) -> str:
    answer = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=20)
    assert (answer.returncode == 0) == ok, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def believed(city: Authority, kind: str) -> tuple[object, ...]:
    """Arguments of `openssl verify`: for one of this kind, with what holds no more."""
    file = "issuer/cert.pem" if kind == "node" else "ca.pem"
    return "-CAfile", city.folder / file, "-crl_check", "-CRLfile", city.folder / "crl.pem"


def make_all(city: Authority) -> list[Identity]:
    return [
        city.server(["broker.example", "192.168.1.10", "::1"]),
        city.gateway(),
        city.node("riverside", "water-0007"),
    ]


def test_openssl_takes_what_was_made_for_its_purpose_alone(city: Authority) -> None:
    """Another implementation agrees: chain, purpose, names; a node cannot play broker, nor a broker a node. Who
    believes the authority does not believe nodes, and the other way round."""
    server, gateway, node = make_all(city)
    for each, purpose, other in (
        (server, "sslserver", "sslclient"),
        (gateway, "sslclient", "sslserver"),
        (node, "sslclient", "sslserver"),
    ):
        verify = ("verify", "-x509_strict", *believed(city, each.kind))
        openssl(*verify, "-purpose", purpose, f"{each.folder}/cert.pem")
        assert "purpose" in openssl(*verify, "-purpose", other, f"{each.folder}/cert.pem", ok=False)
        strange = believed(city, "gateway" if each.kind == "node" else "node")
        said = openssl("verify", *strange, f"{each.folder}/cert.pem", ok=False)
        assert "unable to get local issuer certificate" in said
    verify = ("verify", "-CAfile", city.folder / "ca.pem")
    openssl(*verify, "-verify_hostname", "broker.example", f"{server.folder}/cert.pem")
    openssl(*verify, "-verify_ip", "192.168.1.10", f"{server.folder}/cert.pem")
    openssl(*verify, "-verify_hostname", "elsewhere.example", f"{server.folder}/cert.pem", ok=False)
    assert "riverside/water-0007" in openssl("x509", "-noout", "-subject", "-in", f"{node.folder}/cert.pem")


def test_a_board_without_the_time_can_believe_a_broker(city: Authority) -> None:
    """At 2000-01-01 00:00:00, which the ESP32's clock says after a loss of power; and not once it has ended."""
    server = city.server(["broker.example"])
    verify = ("verify", "-CAfile", city.folder / "ca.pem", "-purpose", "sslserver")
    begin = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
    for when in (begin, begin + 60, server.ends - 1):
        openssl(*verify, "-attime", when, f"{server.folder}/cert.pem")
    for when, what in ((begin - 1, "not yet valid"), (server.ends + 1, "expired")):
        assert what in openssl(*verify, "-attime", when, f"{server.folder}/cert.pem", ok=False)


def test_the_key_belongs_to_the_certificate_in_both_forms(city: Authority) -> None:
    """PEM and DER hold the same, on the curve that boards know."""
    node = Path(city.node("riverside", "water-0007").folder)
    public = openssl("x509", "-in", node / "cert.pem", "-noout", "-pubkey")
    assert openssl("x509", "-inform", "DER", "-in", node / "cert.der", "-noout", "-pubkey") == public
    assert openssl("pkey", "-in", node / "key.pem", "-pubout") == public
    assert openssl("ec", "-inform", "DER", "-in", node / "key.der", "-pubout").startswith(public)
    assert "prime256v1" in openssl("ec", "-inform", "DER", "-in", node / "key.der", "-noout", "-text")
    assert x509.load_der_x509_certificate((node / "ca.der").read_bytes()) == city.certificate
    assert "OK" in openssl("verify", "-CAfile", city.folder / "issuer/cert.pem", node / "cert.pem")
    issuer = x509.load_pem_x509_certificate((city.folder / "issuer/cert.pem").read_bytes())
    assert x509.load_der_x509_certificate((node / "issuer.der").read_bytes()) == issuer


def test_private_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask says, and with nothing left behind beside them."""
    before = os.umask(0)
    try:
        city = Authority.create(tmp_path / "pki", "Riverside")
        make_all(city)
    finally:
        os.umask(before)
    modes = {
        path.relative_to(city.folder): stat.S_IMODE(path.stat().st_mode)
        for path in city.folder.rglob("*")
        if path.is_file()
    }
    assert len(modes) == 4 + 2 + 2 + 2 + len(BOARD_FILES)
    assert stat.S_IMODE((city.folder / "issuer").stat().st_mode) == 0o755
    for path, mode in modes.items():
        private = path.name in ("ca.key", "key.pem", "key.der")
        assert mode == (0o600 if private else 0o644), path
    assert {path.name for path in (city.folder / "node/riverside/water-0007").iterdir()} == BOARD_FILES


def made(city: Authority) -> list[str]:
    """Names of all but issuers."""
    return [each.name for each in city.identities() if each.kind != "issuer"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (lambda city: Authority.create(city.folder, "Other"), "exists and is not empty: nothing was changed"),
        (lambda city: city.server(["broker.example"]), "broker.example has a certificate already"),
        (lambda city: city.gateway(), "gateway has a certificate already"),
        (lambda city: city.node("riverside", "water-0007"), "riverside/water-0007 has a certificate already"),
        (lambda city: city.gateway(days=40_000, renew=True), "the authority itself ends on "),
        (lambda city: city.node("riverside", "water-0008", days=40_000), "the issuer itself ends on "),
        (lambda city: city.issuer(), "the issuer has a certificate already"),
    ],
)
def test_nothing_is_overwritten(city: Authority, again: Callable[[Authority], object], message: str) -> None:
    make_all(city)
    before = contents(city.folder)
    with pytest.raises(PkiError, match=re.escape(message)):
        again(city)
    assert contents(city.folder) == before


def test_a_failure_leaves_nothing_half(city: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after the first file: no folder of the node, and the next attempt succeeds."""
    write, written = files.create, []

    def full(path: Path, content: bytes, mode: int) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(path, content, mode)

    before = contents(city.folder)
    with monkeypatch.context() as patched:
        patched.setattr(files, "create", full)
        with pytest.raises(PkiError, match="cannot be written: No space left on device"):
            city.node("riverside", "water-0007")
    assert contents(city.folder) == before
    assert made(city) == []
    city.node("riverside", "water-0007")
    assert made(city) == ["riverside/water-0007"]


@pytest.mark.parametrize("name", ["", "Water", "a/b", "..", "-a", "a" * 33, "ä", "a\n", "+", "#", "a b"], ids=repr)
def test_what_cannot_be_a_name(city: Authority, name: str) -> None:
    """Such a name would break out of the folder, or be a wildcard in the broker's access list."""
    before = contents(city.folder)
    for make in (lambda: city.node("riverside", name), lambda: city.node(name, "a"), lambda: city.gateway(name)):
        with pytest.raises(PkiError, match="cannot be"):
            make()
    assert contents(city.folder) == before


@pytest.mark.parametrize(
    "host", ["", "Broker", "a..b", "../x", "a:8883", "*.example", "1.2.3.4/24", "a_b", "-a", "a\n"]
)
def test_what_cannot_be_a_server(city: Authority, host: str) -> None:
    with pytest.raises(PkiError, match="is no host's name and no IP address"):
        city.server(["broker.example", host])
    assert made(city) == []


def test_a_renewed_identity_holds_beside_the_old_one(city: Authority) -> None:
    """So that the new one can be carried out before the old one goes; revoking the name takes both back."""
    old = city.node("riverside", "water-0007")
    new = city.node("riverside", "water-0007", renew=True)
    assert old.serial != new.serial
    assert old.folder == new.folder
    states = [(each.serial, each.state) for each in city.identities() if each.kind == "node"]
    assert states == [(new.serial, "valid"), (old.serial, "renewed")]
    assert {each.serial for each in city.revoke("riverside/water-0007")} == {old.serial, new.serial}
    assert [each.state for each in city.identities()] == ["revoked", "revoked", "valid"]
    again = city.node("riverside", "water-0007")
    assert [each.state for each in city.identities() if each.serial == again.serial] == ["valid"]


def test_revoking_is_remembered(city: Authority) -> None:
    """By serial number or name, one after another, in the list of who has signed it; the other's stays as it was."""
    nodes = [city.node("riverside", f"water-{n}") for n in range(3)]
    city.revoke(nodes[0].serial)
    (gone,) = Authority(city.folder).revoke("riverside/water-1")
    assert (gone.name, gone.state) == ("riverside/water-1", "revoked")
    for who, message in (
        ("riverside/water-1", "is revoked already"),
        (nodes[0].serial, "is revoked already"),
        ("riverside/water-9", "nobody here is riverside/water-9"),
    ):
        with pytest.raises(PkiError, match=message):
            city.revoke(who)
    own, issuers = lists.read((city.folder / "crl.pem").read_bytes()).values()
    assert {f"{each.serial_number:x}" for each in issuers} == {"1", nodes[0].serial, nodes[1].serial}
    assert (len(own), lists.number(own), lists.number(issuers)) == (1, 1, 3)
    end = city.certificate.not_valid_after_utc
    assert (own.next_update_utc, issuers.next_update_utc) == (end, end), "an outdated list locks everybody out"
    city.gateway("late")
    city.revoke("late")
    own, same = lists.read((city.folder / "crl.pem").read_bytes()).values()
    assert (len(own), lists.number(own), same) == (2, 2, issuers)
    check = ("verify", *believed(city, "node"))
    openssl(*check, f"{nodes[2].folder}/cert.pem")
    for path in (city.folder / "old").rglob("cert.pem"):
        kind = path.parent.name
        assert "revoked" in openssl("verify", *believed(city, kind), path, ok=False), kind


def issuers(city: Authority) -> list[Identity]:
    return [each for each in city.identities() if each.kind == "issuer"]


def test_an_issuer_is_an_authority_of_its_own(city: Authority) -> None:
    """It is not signed by the first, so who believes the first does not believe it; it holds as long, and no longer."""
    (issuer,) = issuers(city)
    assert (issuer.folder, issuer.state) == (str(city.folder / "issuer"), "valid")
    assert issuer.ends == int(city.certificate.not_valid_after_utc.timestamp())
    assert "self-signed" in openssl("verify", "-CAfile", city.folder / "ca.pem", f"{issuer.folder}/cert.pem", ok=False)
    openssl("verify", "-CAfile", f"{issuer.folder}/cert.pem", f"{issuer.folder}/cert.pem")
    with pytest.raises(PkiError, match="the authority itself ends on "):
        city.issuer(days=40_000, renew=True)
    assert city.issuer(days=100, renew=True).ends < issuer.ends
    with pytest.raises(PkiError, match=r"the issuer itself ends on .*: take fewer than 101 days"):
        city.node("riverside", "water-0007", days=101)


def test_whom_a_former_issuer_signed_holds_until_it_is_revoked(city: Authority) -> None:
    """Until then each of them is revoked in the list of who has signed it; with it all are out, also those in it."""
    (former,) = issuers(city)
    old = [city.node("riverside", f"old-{n}") for n in range(3)]
    another = city.issuer(renew=True)
    assert (another.name != former.name, another.folder) == (True, former.folder)
    new = city.node("riverside", "new-0")
    # By the former who believes that one believes the new one, and the certificate is the same but for who signed it.
    handed = x509.load_der_x509_certificate((city.folder / "issuer/handover.der").read_bytes())
    present = x509.load_pem_x509_certificate((city.folder / "issuer/cert.pem").read_bytes())
    handed.verify_directly_issued_by(
        x509.load_pem_x509_certificate((city.folder / "old" / former.serial / "issuer/cert.pem").read_bytes())
    )
    assert (handed.public_key(), handed.subject) == (present.public_key(), present.subject)
    city.revoke("riverside/old-0")
    assert {each.serial: each.state for each in issuers(city)} == {former.serial: "renewed", another.serial: "valid"}
    (retired,) = (Path(each.folder) for each in issuers(city) if each.serial == former.serial)
    crl = "-crl_check", "-CRLfile", city.folder / "crl.pem"
    openssl("verify", "-CAfile", retired / "cert.pem", *crl, f"{old[1].folder}/cert.pem")
    gone = city.folder / "old" / old[0].serial / "node/cert.pem"
    assert "revoked" in openssl("verify", "-CAfile", retired / "cert.pem", *crl, gone, ok=False)
    openssl("verify", *believed(city, "node"), f"{new.folder}/cert.pem")
    assert [len(each) for each in lists.read((city.folder / "crl.pem").read_bytes()).values()] == [1, 2, 1]

    city.revoke(former.serial)
    kept = lists.read((city.folder / "crl.pem").read_bytes())
    assert [[f"{line.serial_number:x}" for line in each] for each in kept.values()] == [["1", former.serial], ["1"]]
    states = {each.name: each.state for each in city.identities() if each.kind == "node"}
    assert states == {f"riverside/old-{n}": "revoked" for n in range(3)} | {"riverside/new-0": "valid"}
    again = city.node("riverside", "old-1")
    openssl("verify", *believed(city, "node"), f"{again.folder}/cert.pem")


def test_without_the_issuers_key(city: Authority) -> None:
    """As when the authority's part alone was restored: nothing is signed by another instead, and all else goes on."""
    city.node("riverside", "water-0007")
    issuer, away = city.folder / "issuer", city.folder / "away"
    issuer.rename(away)
    before = contents(city.folder)
    with pytest.raises(PkiError, match=r"the issuer's key, by which nodes are signed, is not in .*: take the folder"):
        city.node("riverside", "water-0008")
    with pytest.raises(PkiError, match=r"the key of who has signed it is not in .*: take the folder issuer/"):
        city.revoke("riverside/water-0007")
    assert contents(city.folder) == before
    city.gateway()
    city.revoke("gateway")
    away.rename(issuer)
    city.revoke("riverside/water-0007")
    assert [len(each) for each in lists.read((city.folder / "crl.pem").read_bytes()).values()] == [2, 2]


def test_what_was_revoked_is_so_wherever_it_ended(city: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power fails behind the list: the folder is still there, is known to hold no more, and makes room."""
    node = city.node("riverside", "water-0007")

    def power_fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Authority, "_retire", power_fails)
        with pytest.raises(KeyboardInterrupt):
            city.revoke("riverside/water-0007")
    assert "revoked" in openssl("verify", *believed(city, "node"), f"{node.folder}/cert.pem", ok=False)
    assert [each.state for each in city.identities() if each.kind == "node"] == ["revoked"]
    city.node("riverside", "water-0007")
    assert [each.state for each in city.identities() if each.kind == "node"] == ["valid", "revoked"]


def test_a_node_is_not_called_like_what_the_gateway_says(city: Authority) -> None:
    with pytest.raises(PkiError, match="'incident' cannot be a node: that name is the gateway's own"):
        city.node("riverside", "incident")
    with pytest.raises(PkiError, match="is longer than the 64 characters"):
        city.node("r" * 32, "n" * 32)
    assert city.node("r" * 32, "n" * 31).state == "valid"


def test_what_has_ended_is_told(city: Authority) -> None:
    identity = city.server(["broker.example"], days=-1)
    assert identity.state == "expired"
    assert identity in city.identities()


def test_a_damaged_authority_is_named(city: Authority, tmp_path: Path) -> None:
    """Each with what to do; a key of somebody else's is no key."""
    with pytest.raises(PkiError, match="make one with `ganglion pki init --dir"):
        Authority(tmp_path / "nowhere")
    other = Authority.create(tmp_path / "other", "Other")
    key = (city.folder / "ca.key").read_bytes()
    (city.folder / "ca.key").write_bytes((other.folder / "ca.key").read_bytes())
    with pytest.raises(PkiError, match="is not the key of"):
        Authority(city.folder)
    (city.folder / "ca.key").write_bytes(b"nonsense")
    with pytest.raises(PkiError, match="is damaged"):
        Authority(city.folder)
    (city.folder / "ca.key").write_bytes(key)
    (city.folder / "crl.pem").write_bytes(b"")
    with pytest.raises(PkiError, match="take it from a backup"):
        Authority(city.folder).identities()


def test_names_and_times_are_read_back(city: Authority) -> None:
    server, gateway, node = make_all(city)
    certificate = x509.load_pem_x509_certificate((Path(server.folder) / "cert.pem").read_bytes())
    assert server.hosts == hosts_of(certificate) == ("broker.example", "192.168.1.10", "::1")
    assert (common_name(certificate), gateway.name, node.name) == ("broker.example", "gateway", "riverside/water-0007")
    days = timedelta(seconds=node.ends) - timedelta(seconds=datetime.now(UTC).timestamp())
    assert days == pytest.approx(timedelta(days=DAYS["node"]), abs=timedelta(minutes=5))
    assert [each.kind for each in city.identities()] == ["server", "gateway", "node", "issuer"]


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As told in docs/security.md, from making an authority to taking an identity back."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
    lines = re.findall(r"^ganglion (pki .*)$", page, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["init", "server", "gateway", "node", "list", "revoke"]
    run = CliRunner()
    said = ""
    for line in lines:
        answer = run.invoke(make_app(), shlex.split(line))
        assert answer.exit_code == 0, answer.output
        said += answer.output
    assert "revoked node riverside/water-0007" in said
    listed = run.invoke(make_app(), ["pki", "list", "--json"]).output.splitlines()
    states = {each["name"]: each["state"] for each in map(json.loads, listed) if each["kind"] != "issuer"}
    assert states == {"broker.example": "valid", "gateway": "valid", "riverside/water-0007": "revoked"}
    assert set(json.loads(listed[0])) == {"kind", "name", "hosts", "serial", "ends", "state", "folder"}
    again = run.invoke(make_app(), ["pki", "init"])
    assert isinstance(again.exception, GanglionError)
    assert run.invoke(make_app(), ["pki", "server", "--days", "0"]).exit_code == 2


def test_where_an_identity_is_taken_back(tmp_path: Path) -> None:
    """What is typed counts before the environment, which may be meant for other commands."""
    folder = Authority.create(tmp_path / "pki", "Riverside").folder
    Authority(folder).node("riverside", "water-1")
    app, nowhere = make_app(), str(tmp_path / "nowhere.toml")

    def revoke(*options: str, **env: str) -> Result:
        return CliRunner().invoke(app, ["pki", "revoke", "riverside/water-1", *options], env=env)

    both = revoke("--dir", str(folder), "--config", nowhere)
    assert "name one of them" in str(both.exception)
    assert "nowhere.toml" in str(revoke(GANGLION_CONFIG=nowhere).exception)
    assert "by --dir, or a gateway's file by --config" in str(revoke(GANGLION_PKI=str(tmp_path)).exception)
    assert "revoked node riverside/water-1" in revoke("--dir", str(folder), GANGLION_CONFIG=nowhere).output

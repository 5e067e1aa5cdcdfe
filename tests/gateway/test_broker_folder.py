"""`ganglion pki broker`: what it writes, what it leaves, and what it does not take."""

import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.errors import GanglionError
from gateway.pki import lists
from gateway.pki.authority import Authority, PkiError
from gateway.pki.broker import Broker, Fleet, configuration, gateways_access
from gateway.pki.brokerfolder import check_folder, checked, make
from gateway.pki.certificates import revocation, revocations

NOW = datetime(2026, 1, 1, tzinfo=UTC)
END = b"-----END X509 CRL-----\n"


@pytest.fixture
def city(tmp_path: Path) -> Authority:
    made = Authority.create(tmp_path / "pki", "Riverside")
    made.server(["broker.example"])
    return made


def pki(*arguments: object) -> str:
    answer = CliRunner().invoke(make_app(), ["pki", *map(str, arguments)])
    if isinstance(answer.exception, GanglionError):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return answer.output


def listed(folder: Path) -> list[int]:
    """How many each list in it has, but for the number that nobody has."""
    return [len(each) - 1 for each in lists.read((folder / "crl.pem").read_bytes()).values()]


def authorities(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


def test_every_option_is_where_it_belongs(city: Authority, tmp_path: Path) -> None:
    out = tmp_path / "broker"
    given = "--nodes 300 --listen 10.0.0.1 --nodes-port 1 --gateways-listen 10.0.0.2 --gateways-port 2 --queue 7"
    more = "--data /d/ --crl /c.pem --place /p --gateway a --gateway b --also-write duty/# --reader eye --fleet f=hill"
    said = pki("broker", "--dir", city.folder, "--output", out, *given.split(), *more.split(), "--home-assistant", "ha")
    assert "for broker.example" in said
    settings = Broker(
        nodes=300,
        nodes_listen="10.0.0.1",
        nodes_port=1,
        gateways_listen="10.0.0.2",
        gateways_port=2,
        queue_mib=7,
        data="/d/",
        crl="/c.pem",
        gateways=("a", "b"),
        also_write=("duty/#",),
        readers=("eye",),
        fleets=(Fleet("f", "hill"),),
        home_assistant="ha",
    )
    text = (out / "mosquitto.conf").read_text()
    assert text == configuration(settings)
    wanted = ["listener 1 10.0.0.1", "listener 2 10.0.0.2", "max_queued_bytes 7340032", "max_connections 700"]
    wanted += ["persistence_location /d/", "crlfile /c.pem"]
    assert set(wanted) <= set(text.splitlines())
    access = (out / "gateways.acl").read_text()
    assert access == gateways_access(settings)
    assert [line for line in access.splitlines() if line.startswith("user")] == [
        f"user {name}" for name in ("a", "b", "f", "eye", "ha")
    ]
    drop_in = (out / "mosquitto.service.conf").read_text()
    assert "-c /p/mosquitto.conf" in drop_in
    assert "LimitNOFILE=524288" in drop_in
    private = {path.name for path in out.iterdir() if stat.S_IMODE(path.stat().st_mode) == 0o600}
    assert private == {"key.pem", "nodes.acl", "gateways.acl"}


def test_a_folder_is_never_overwritten(city: Authority, tmp_path: Path) -> None:
    """But brought up to date where that is asked for: what a broker has put there stays, and so does a list of what
    holds no more that is newer than the authority's."""
    out = tmp_path / "broker"
    make(city, Broker(), out)
    with pytest.raises(PkiError, match="exists and is not empty: nothing was changed"):
        make(city, Broker(nodes=7), out)
    (out / "mosquitto.db").write_bytes(b"waiting")
    key = (out / "key.pem").stat()
    older = (city.folder / "crl.pem").read_bytes()
    city.node("riverside", "air-1")
    city.revoke("riverside/air-1")
    make(city, Broker(nodes=7), out, renew=True)
    assert "max_connections 114" in (out / "mosquitto.conf").read_text()
    assert listed(out) == [0, 1]
    (city.folder / "crl.pem").write_bytes(older)
    make(city, Broker(), out, renew=True)
    assert listed(out) == [0, 1]
    assert (out / "mosquitto.db").read_bytes() == b"waiting"
    assert (out / "key.pem").stat() == key
    with pytest.raises(PkiError, match="is no broker's folder: make it without --renew"):
        make(city, Broker(), tmp_path, renew=True)


def test_a_revoked_issuer_is_believed_no_more(city: Authority, tmp_path: Path) -> None:
    """A renewed one is, for its nodes are still there."""
    out = tmp_path / "broker"
    (first,) = [each for each in city.identities() if each.kind == "issuer"]
    second = city.issuer(renew=True)
    make(city, Broker(), out)
    assert {f"{each.serial_number:x}" for each in authorities(out / "clients.pem")} == {first.serial, second.serial}
    assert listed(out) == [0, 0, 0]
    assert authorities(out / "ca.pem") == [city.certificate]
    assert "ganglion pki broker --renew" in pki("revoke", first.serial, "--dir", city.folder)
    make(city, Broker(), out, renew=True)
    assert [f"{each.serial_number:x}" for each in authorities(out / "clients.pem")] == [second.serial]
    assert listed(out) == [1, 0]
    check_folder(out)
    city.revoke(second.serial)
    with pytest.raises(PkiError, match="no issuer that holds, so no node could connect: make one by"):
        make(city, Broker(), out, renew=True)


def test_which_server(city: Authority, tmp_path: Path) -> None:
    city.server(["other.example"])
    with pytest.raises(PkiError, match="there are several servers: say by --server for which: "):
        make(city, Broker(), tmp_path / "broker")
    with pytest.raises(PkiError, match=r"there is no server third\.example that holds"):
        make(city, Broker(), tmp_path / "broker", server="third.example")
    assert make(city, Broker(), tmp_path / "broker", server="other.example").hosts == ("other.example",)
    empty = Authority.create(tmp_path / "empty", "Empty")
    with pytest.raises(PkiError, match="make one with `ganglion pki server`"):
        make(empty, Broker(), tmp_path / "none")


@pytest.mark.parametrize(
    ("broker", "says"),
    [
        (Broker(gateways=("a\nuser b",)), "cannot be a name"),
        (Broker(readers=("riverside/air-1",)), "cannot be a name"),
        (Broker(fleets=(Fleet("f", "#"),)), "cannot be a name"),
        (Broker(readers=("gateway",)), "gateway is named twice"),
        (Broker(also_write=("#",)), "cannot be a further topic"),
        (Broker(also_write=("+/v1/x",)), "cannot be a further topic"),
        (Broker(also_write=("ganglion/v1/+/+/telemetry",)), "cannot be a further topic"),
        (Broker(also_write=("ganglion/#",)), "cannot be a further topic"),
        (Broker(also_write=("$SYS/#",)), "cannot be a further topic"),
        (Broker(also_write=("a b",)), "cannot be a further topic"),
        (Broker(also_write=("a\ntopic write #",)), "cannot be a further topic"),
        (Broker(data="/d\nallow_anonymous true"), "cannot stand in the broker's configuration"),
        (Broker(nodes_listen="::1 x"), "cannot stand in the broker's configuration"),
    ],
)
def test_what_would_be_another_right(broker: Broker, says: str) -> None:
    with pytest.raises(PkiError, match=says):
        checked(broker)


def test_what_may_be_a_further_topic() -> None:
    for topic in ("duty/told", "duty/#", "homeassistant/device/+/config", "a", "ganglions/x"):
        assert checked(Broker(also_write=(topic,))).also_write == (topic,)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda _: b"", "there is no list of Riverside: all whom it signed would be shut out"),
        (lambda good: good[:-100], "is damaged, and no broker must read it"),
        (lambda good: good.split(END)[0] + END, "there is no list of Riverside issuer"),
        (lambda good: good.split(END)[1] + END, "there is no list of Riverside: all"),
        (lambda good: b"junk" + good[40:], "is damaged, and no broker must read it"),
    ],
)
def test_a_damaged_list_is_told(city: Authority, tmp_path: Path, spoil: Callable[[bytes], bytes], says: str) -> None:
    out = tmp_path / "broker"
    make(city, Broker(), out)
    assert f"{out}/crl.pem holds a list of each" in pki("check", "--broker", out).replace("\n", "")
    bad = tmp_path / "bad.pem"
    bad.write_bytes(spoil((out / "crl.pem").read_bytes()))
    with pytest.raises(PkiError, match=says):
        pki("check", "--broker", out, "--crl", bad)


def test_the_list_that_the_broker_reads_is_looked_at(city: Authority, tmp_path: Path) -> None:
    """Not the one in its folder, where a gateway writes another."""
    out, written = tmp_path / "broker", tmp_path / "written.pem"
    make(city, Broker(crl=str(written)), out)
    with pytest.raises(PkiError, match=r"written.pem cannot be read: No such file"):
        check_folder(out)
    written.write_bytes((out / "crl.pem").read_bytes())
    assert check_folder(out) == written
    (out / "mosquitto.conf").write_text("listener 8883\n")
    with pytest.raises(PkiError, match="does not say which list is read"):
        check_folder(out)


def test_a_list_of_somebody_elses_is_none(city: Authority, tmp_path: Path) -> None:
    """Also if he calls himself the same."""
    other = Authority.create(tmp_path / "other", "Riverside")
    make(city, Broker(), tmp_path / "broker")
    (tmp_path / "broker/crl.pem").write_bytes((other.folder / "crl.pem").read_bytes())
    with pytest.raises(PkiError, match="there is no list of Riverside"):
        check_folder(tmp_path / "broker")
    with pytest.raises(PkiError, match="cannot be read: No such file"):
        check_folder(tmp_path / "nowhere")


def test_what_a_gateway_wrote_is_joined_with_what_the_authority_says(city: Authority, tmp_path: Path) -> None:
    """Both have the issuer's key, and so each may list what the other does not know of."""
    out = tmp_path / "broker"
    make(city, Broker(), out)
    own, before = lists.read((out / "crl.pem").read_bytes()).values()
    by = city._signer(lists.by(before))
    held = revocation(7, NOW)
    (out / "crl.pem").write_bytes(lists.written({b"": own, lists.by(before): revocations(by, [held], 10**12, NOW)}))
    node = city.node("riverside", "air-1")
    city.revoke(node.name)
    make(city, Broker(), out, renew=True)
    own, both = lists.read((out / "crl.pem").read_bytes()).values()
    assert {each.serial_number for each in both} == {1, 7, int(node.serial, 16)}
    assert lists.number(both) == 10**12 + 1
    there = (out / "crl.pem").read_bytes()
    make(city, Broker(), out, renew=True)
    assert (out / "crl.pem").read_bytes() == there
    with pytest.raises(ValueError, match=r"Unable to load PEM"):
        lists.read(b"junk")

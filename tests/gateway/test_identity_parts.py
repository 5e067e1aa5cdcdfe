"""Identities at the gateway, part by part: settings, what the issuer believes, lists, the desk of enrolment."""

import random
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from urllib3.util import make_headers

from gateway.config import Mqtt, load
from gateway.errors import ConfigError
from gateway.identity import enrolment, lists
from gateway.identity.counted import Counted
from gateway.identity.enrolment import Enrolment
from gateway.identity.issuer import Issuer, Refusal, fingerprint, proven, requested
from gateway.identity.renewal import Renewals
from gateway.identity.service import Identities
from gateway.identity.store import Store
from gateway.journal.access import JournalAccess
from gateway.pki.authority import Authority, PkiError
from gateway.pki.broker import Broker
from gateway.pki.brokerfolder import check_folder, make
from gateway.pki.certificates import new_key
from gateway.pki.lists import by, written
from gateway.records import Status
from tests.gateway.identified import request, want
from tests.gateway.served import Served, served

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority.create(tmp_path_factory.mktemp("authority") / "pki", "Riverside")
    authority.server(["localhost"])
    return authority


@pytest.fixture
def issuer(city: Authority) -> Issuer:
    return Issuer(city.folder / "issuer", city.folder / "ca.pem", 90)


def configured(city: Authority, folder: Path, **changes: str) -> Path:
    """A configuration; a change that is empty takes its key away."""
    keys = {"issuer": str(city.folder / "issuer"), "crl": "crl.pem", "ca_crl": str(city.folder / "crl.pem")} | changes
    path = folder / "ganglion.toml"
    path.write_text(
        f'sites = ["riverside"]\ndata_dir = "."\n[mqtt]\nca = "{city.folder}/ca.pem"\n[identity]\n'
        + "".join(f'{key} = "{value}"\n' for key, value in keys.items() if value)
    )
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": ""}, "identity.issuer: is missing"),
        ({"crl": ""}, "identity.crl: is missing"),
        ({"ca_crl": ""}, "identity.ca_crl: is missing; name a copy"),
        ({"crl": "a.pem", "ca_crl": "a.pem"}, "identity.crl: is the file of identity.ca_crl"),
        ({"cert": "a.pem"}, "identity.cert, identity.key: one needs the other"),
        ({"listen": "0.0.0.0:8443"}, "identity.cert: is missing"),
        ({"listen": "8443"}, "identity.listen: is no address and port"),
        ({"nodes": "broker"}, "identity.nodes: is no address and port"),
        ({"isuer": "x"}, "the nearest is identity.issuer"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(
    city: Authority, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(configured(city, tmp_path, **changes), None)


def test_files_are_relative_to_the_configuration(city: Authority, tmp_path: Path) -> None:
    table = load(configured(city, tmp_path), None).identity
    assert table is not None
    assert table.crl == str(tmp_path / "crl.pem")
    assert (table.days, table.listen, table.messages_per_s) == (90, "", 10.0)
    plain = tmp_path / "plain.toml"
    plain.write_text(configured(city, tmp_path).read_text().replace(f'ca = "{city.folder}/ca.pem"\n', ""))
    with pytest.raises(ConfigError, match=r"mqtt\.ca: is missing"):
        load(plain, None)


async def test_files_that_are_no_good_are_refused_whole(city: Authority, tmp_path: Path) -> None:
    """When the gateway takes the configuration, also those of the process that it will start."""
    server = city.folder / "server" / "localhost"
    other = tmp_path / "other"
    other.mkdir()
    (other / "cert.pem").write_bytes((city.folder / "issuer" / "cert.pem").read_bytes())
    (other / "key.pem").write_bytes((server / "key.pem").read_bytes())
    (other / "key.pem").chmod(0o600)
    told = tmp_path / "told"
    told.mkdir()
    for name in ("cert.pem", "key.pem"):
        (told / name).write_bytes((city.folder / "issuer" / name).read_bytes())
    (told / "key.pem").chmod(0o644)
    mark = "-----END X509 CRL-----\n"
    (told / "crl.pem").write_text((city.folder / "crl.pem").read_text().split(mark)[1] + mark)
    (told / "cut.pem").write_text((city.folder / "crl.pem").read_text()[:-100])
    journal = await JournalAccess.open(tmp_path, 2**20)
    try:
        for changes, words in (
            ({"issuer": "nowhere"}, "identity.issuer: "),
            ({"issuer": str(told)}, "may be read by others"),
            ({"issuer": str(other)}, "is not the key of cert.pem"),
            ({"ca_crl": "nowhere.pem"}, "identity.ca_crl: "),
            ({"ca_crl": str(city.folder / "ca.pem")}, "is damaged"),
            ({"ca_crl": str(told / "cut.pem")}, "is damaged"),
            ({"ca_crl": str(told / "crl.pem")}, "lacks the list of the authority"),
            ({"listen": "127.0.0.1:1", "cert": f"{server}/cert.pem", "key": "nowhere"}, "identity.cert, identity.key"),
        ):
            config = load(configured(city, tmp_path, **changes), None)
            with pytest.raises(ConfigError, match=re.escape(words)):
                Identities(config, journal, Counted())
        assert len(Identities(load(configured(city, tmp_path), None), journal, Counted()).parts) == 4
    finally:
        await journal.close()


def test_only_a_key_is_taken_of_a_request(issuer: Issuer) -> None:
    key, name = new_key(), "riverside/water-0007"
    public = requested(request(name, key), name)
    made = x509.load_der_x509_certificate(issuer.issue(name, public, datetime.now(UTC)).der)
    assert made.public_key() == key.public_key()
    made.verify_directly_issued_by(issuer.certificate)
    assert made.not_valid_before_utc == datetime(2000, 1, 1, tzinfo=UTC)
    usage = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not usage.ca
    asks = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    made = x509.load_der_x509_certificate(issuer.issue(name, requested(asks, name), datetime.now(UTC)).der)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    role = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")
    again = x509.NameAttribute(NameOID.COMMON_NAME, "gateway")
    for wrong in (request(name, key, role), request(name, key, again), request("gateway", key)):
        with pytest.raises(PkiError, match="is not for riverside/water-0007"):
            requested(wrong, name)


def test_a_new_issuer_is_told_with_what_it_renews(tmp_path: Path) -> None:
    """To nodes of the former, by that one's signature; a folder with another's is refused."""
    city, key, name = Authority.create(tmp_path / "pki", "Riverside"), new_key(), "riverside/water-1"
    folder = city.folder / "issuer"
    former = Issuer(folder, city.folder / "ca.pem", 90)
    old = former.issue(name, key.public_key(), datetime.now(UTC)).der
    city.issuer(renew=True)
    (folder / "cert.pem").write_bytes(
        (folder / "cert.pem").read_bytes() + former.certificate.public_bytes(Encoding.PEM),
    )
    issuer = Issuer(folder, city.folder / "ca.pem", 90)
    said = Renewals(Mqtt(host="x"), ["riverside"], tmp_path, issuer, lambda _: False).answer(
        name, want(request(name, new_key()), old, key)
    )
    told = {each: x509.load_der_x509_certificate(b64decode(said[each])) for each in ("cert", "issuer")}
    told["cert"].verify_directly_issued_by(told["issuer"])
    told["issuer"].verify_directly_issued_by(former.certificate)
    (folder / "handover.der").write_bytes(former.certificate.public_bytes(Encoding.DER))
    with pytest.raises(ConfigError, match=r"handover.der is of another issuer: copy the whole folder anew"):
        Issuer(folder, city.folder / "ca.pem", 90)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of what is then refused
def test_bytes_of_strangers_end_nothing(city: Authority, issuer: Issuer) -> None:
    """Whatever they are, they are refused in words: a request or certificate changed at any place, cut, or nonsense."""
    name, now, dice = "riverside/bytes", datetime.now(UTC), random.Random(5)
    good = request(name, new_key()), issuer.issue(name, new_key().public_key(), now).der
    taken = 0
    for number in range(4000):
        data = bytearray(good[number % 2])
        for _ in range(dice.choice((1, 1, 1, 2, 8))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cut = bytes(data[: dice.choice((len(data), len(data), dice.randrange(len(data))))])
        try:
            if number % 2:
                issuer.presented(cut, name, now)
            else:
                requested(cut, name)
            taken += cut != good[number % 2]
        except PkiError:
            continue
    assert taken == 0


def test_what_a_proof_proves() -> None:
    key, other = new_key(), new_key()
    for signature in (b"", b"x" * 70):
        assert not proven(key.public_key(), signature, b"request")
    from cryptography.hazmat.primitives.asymmetric import ec

    signature = key.sign(b"request", ec.ECDSA(hashes.SHA256()))
    assert proven(key.public_key(), signature, b"request")
    assert not proven(key.public_key(), signature, b"another")
    assert not proven(other.public_key(), signature, b"request")


def test_openssl_reads_the_brokers_list(city: Authority, issuer: Issuer, tmp_path: Path) -> None:
    """Both authorities' in one file: what is on it does not hold, the rest does; lists of the issuer are joined."""
    now = datetime.now(UTC)
    kept, gone, held, before = (issuer.issue(f"riverside/{n}", new_key().public_key(), now) for n in "abcd")
    own = [Refusal(gone.serial, now.timestamp(), hold=False), Refusal(held.serial, now.timestamp(), hold=True)]
    others = lists.read(city.folder / "crl.pem")
    copied = issuer.list([Refusal(before.serial, now.timestamp(), hold=False)], now)
    composed = lists.compose(issuer, others | {by(copied): copied}, own, now)
    (tmp_path / "crl.pem").write_bytes(written(composed))
    (tmp_path / "both.pem").write_bytes(
        (city.folder / "ca.pem").read_bytes() + (city.folder / "issuer/cert.pem").read_bytes()
    )
    assert lists.serials(lists.read(tmp_path / "crl.pem")) >= {gone.serial, held.serial, before.serial}
    flashed = city.node("riverside", "flashed")
    for each, fine in ((kept, True), (gone, False), (held, False), (before, False)):
        pem = x509.load_der_x509_certificate(each.der).public_bytes(Encoding.PEM)
        (tmp_path / "cert.pem").write_bytes(pem)
        assert verifies(tmp_path, tmp_path / "cert.pem") is fine
    assert verifies(tmp_path, Path(flashed.folder) / "cert.pem")
    (line,) = [each for each in composed[by(copied)] if f"{each.serial_number:x}" == held.serial]
    reason = line.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.certificate_hold


def verifies(folder: Path, certificate: Path) -> bool:
    command = ["openssl", "verify", "-CAfile", folder / "both.pem", "-CRLfile", folder / "crl.pem", "-crl_check"]
    return subprocess.run([*command, certificate], capture_output=True, check=False).returncode == 0


def test_a_forged_list_is_not_taken(city: Authority, issuer: Issuer, tmp_path: Path) -> None:
    """One in the authority's name by somebody else's key; of an issuer that was before, one stays."""
    stranger = Authority.create(tmp_path / "stranger", "Riverside")
    forged = tmp_path / "forged.pem"
    forged.write_bytes((stranger.folder / "crl.pem").read_bytes() + (city.folder / "crl.pem").read_bytes())
    with pytest.raises(PkiError, match="its authority has not signed"):
        lists.check(issuer, lists.read(forged), forged)
    former = Authority.create(tmp_path / "former", "Former")
    forged.write_bytes((former.folder / "crl.pem").read_bytes() + (city.folder / "crl.pem").read_bytes())
    lists.check(issuer, lists.read(forged), forged)
    assert len(lists.read(forged)) == 4


def test_the_authoritys_lists_are_joined_with_ours(tmp_path: Path) -> None:
    """Of our certificates with what we say; of a former issuer's, which we have no key for, they stay as they are."""
    city = Authority.create(tmp_path / "pki", "Riverside")
    nodes = [city.node("riverside", "of-former")]
    city.issuer(renew=True)
    nodes += [city.node("riverside", "of-ours"), city.node("riverside", "held")]
    for each in nodes[:2]:
        city.revoke(each.name)
    city.server(["localhost"])
    city.gateway()
    city.revoke("gateway")
    issuer = Issuer(city.folder / "issuer", city.folder / "ca.pem", 90)
    others = lists.read(city.folder / "crl.pem")
    lists.check(issuer, others, city.folder / "crl.pem")
    now = datetime.now(UTC)
    composed = lists.compose(issuer, others, [Refusal(nodes[2].serial, NOW, hold=True)], now)
    make(city, Broker(), tmp_path / "broker")
    (tmp_path / "broker/crl.pem").write_bytes(written(composed))
    check_folder(tmp_path / "broker")
    own, former, ours = composed
    assert {each: composed[each] for each in (own, former)} == {each: others[each] for each in (own, former)}
    assert lists.serials({former: composed[former]}) == {nodes[0].serial}
    assert lists.serials({ours: composed[ours]}) == {nodes[1].serial, nodes[2].serial}
    city.revoke("riverside/held")
    make(city, Broker(), tmp_path / "broker", renew=True)
    joined = lists.read(tmp_path / "broker/crl.pem")
    assert lists.serials({ours: joined[ours]}) == {nodes[1].serial, nodes[2].serial}


def test_what_a_node_says_of_its_certificate_helps_no_thief(issuer: Issuer, city: Authority) -> None:
    """A serial number that no list can have is no birth: it would end whoever writes the list. Two who name the same
    hide nobody."""
    birth = b'{"online":true,"identity":{"serial":"%s","ends":%d}}'
    for serial, ends in ((b"0", 1), (b"0" * 40, 1), (b"8" + b"0" * 39, 1), (b"f" * 64, 1), (b"1", 253_402_300_800)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(birth % (serial, ends), type=Status)
    most = msgspec.json.decode(birth % (b"7" + b"f" * 39, 253_402_300_799), type=Status).identity
    assert most is not None
    others = lists.read(city.folder / "crl.pem")
    composed = lists.compose(issuer, others, [Refusal(most.serial, NOW, hold=True)], datetime.now(UTC))
    assert most.serial in lists.serials(composed)


"""As Mosquitto 2.0.11 wrote them."""


@pytest.fixture
def desk(city: Authority, tmp_path: Path) -> Iterator[tuple[Enrolment, Served]]:
    server = city.folder / "server" / "localhost"
    path = configured(
        city, tmp_path, listen="127.0.0.1:1", cert=f"{server}/cert.pem", key=f"{server}/key.pem"
    )  # fmt: skip
    desk = Enrolment(load(path, None))
    with served(desk.app(), limits=enrolment.LIMITS) as client:
        yield desk, client


def test_wrong_tokens_are_bounded_and_counted(desk: tuple[Enrolment, Served], tmp_path: Path) -> None:
    """By address; what is counted reaches the gateway through the store, and a burst the audit log, once."""
    room, client = desk
    path = "/.well-known/est/simpleenroll"
    wrong = make_headers(basic_auth="riverside/a:wrong")
    statuses = [client.post(path, b"x", wrong).status for _ in range(40)]
    assert statuses == [401] * int(enrolment.WRONG[1]) + [429] * 10
    assert client.post(path, b"x", {"Authorization": "Basic !"}).status == 429
    room._flush()
    kept = Store(tmp_path)
    counted = Counted()
    counted.look(kept, NOW)
    text = {sample.labels.get("how"): sample.value for family in counted.collect() for sample in family.samples
            if sample.name == "ganglion_identity_refused_total"}  # fmt: skip
    assert text["token"] == enrolment.WRONG[1]
    log = b"".join(each.read_bytes() for each in (tmp_path / "audit").iterdir() if each.is_file())
    assert log.count(b'"act":"attack"') == 1
    assert client.get("/.well-known/est/csrattrs").status == 404


def test_a_shown_certificate_must_be_the_nodes_own(city: Authority, issuer: Issuer) -> None:
    now, name = datetime.now(UTC), "riverside/shown"
    der = (Path(city.node("riverside", "shown").folder) / "cert.der").read_bytes()
    assert issuer.presented(der, name, now).name == name
    renewed = issuer.issue(name, new_key().public_key(), now)
    assert issuer.presented(renewed.der, name, now).serial == renewed.serial
    server = (city.folder / "server/localhost/cert.pem").read_bytes()
    as_server = x509.load_pem_x509_certificate(server).public_bytes(Encoding.DER)
    for shown, at, words in (
        (renewed.der, now + timedelta(days=91), "has ended"),
        (as_server, now, "not one for a client"),
        (der, now, "is not of riverside/other"),
        (b"nonsense", now, "cannot be read"),
    ):
        with pytest.raises(PkiError, match=words):
            issuer.presented(shown, "riverside/other" if "other" in words else name, at)
    assert len(fingerprint(new_key().public_key())) == 32

"""Identities at the gateway, part by part: settings, lists, tokens, floods, the broker's log, the inventory."""

import random
import re
import stat
import subprocess
import threading
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

from gateway.config import load
from gateway.errors import ConfigError
from gateway.identity import enrolment, floods, lists, store
from gateway.identity.counted import Counted
from gateway.identity.enrolment import Enrolment
from gateway.identity.floods import Floods
from gateway.identity.inventory import inventory
from gateway.identity.issuer import Issued, Issuer, Refusal, fingerprint, proven, requested
from gateway.identity.refusals import BURST, KINDS, Bursts, connected, kind_of
from gateway.identity.schema import Barred, Certificate
from gateway.identity.service import Identities, claims
from gateway.identity.store import Store, TokenRefused
from gateway.ingest.receiver import RECEIVE_MAXIMUM, Chunk
from gateway.journal.access import JournalAccess
from gateway.pki.authority import Authority, PkiError
from gateway.pki.broker import Broker
from gateway.pki.brokerfolder import check_folder, make
from gateway.pki.certificates import new_key
from gateway.pki.lists import by, written
from gateway.records import NodeView, Status
from tests.gateway.identified import request
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


def made(number: int, ends: float = NOW + 90 * DAY) -> Issued:
    return Issued(f"{number:x}", int(ends), b"der%d" % number)


def test_a_token_is_kept_as_its_hash_and_ends(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    token = kept.token("riverside/a", 3600, NOW)
    assert len(token) >= 32
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert token.encode() not in kept.path.read_bytes()
    with pytest.raises(TokenRefused, match="its time is over"):
        kept.redeem("riverside/a", token, b"k", lambda: made(1), NOW + 3601)
    with pytest.raises(TokenRefused, match="not riverside/b's"):
        kept.redeem("riverside/b", token, b"k", lambda: made(1), NOW)
    newer = kept.token("riverside/a", 3600, NOW)
    with pytest.raises(TokenRefused):
        kept.redeem("riverside/a", token, b"k", lambda: made(1), NOW)
    assert kept.waiting(NOW) == 1
    assert kept.redeem("riverside/a", newer, b"k", lambda: made(1), NOW) == made(1)
    assert kept.waiting(NOW) == 0


def test_what_cannot_be_issued_uses_up_no_token(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    token = kept.token("riverside/a", 3600, NOW)

    def fail() -> Issued:
        raise ConfigError("the audit log cannot be kept")

    kept.hold("riverside/a", None, "test", NOW)
    with pytest.raises(PkiError, match="on hold"):
        kept.redeem("riverside/a", token, b"k", lambda: made(1), NOW)
    kept.release("riverside/a")
    with pytest.raises(ConfigError):
        kept.redeem("riverside/a", token, b"k", fail, NOW)
    assert kept.redeem("riverside/a", token, b"k", lambda: made(1), NOW) == made(1)


def test_one_of_many_at_once_gets_it(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    token = kept.token("riverside/a", 3600, NOW)
    given: list[Issued] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        try:
            given.append(kept.redeem("riverside/a", token, b"%d" % number, lambda: made(number), NOW))
        except TokenRefused:
            return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(kept.certificates()) == 1


def test_certificates_of_a_node_are_bounded(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    for number in range(store.A_DAY):
        kept.renew("riverside/a", b"%d" % number, lambda n=number: made(n), NOW)  # type: ignore[misc]
    with pytest.raises(PkiError, match="ask again tomorrow"):
        kept.renew("riverside/a", b"more", lambda: made(99), NOW)
    with pytest.raises(PkiError, match="that key had a certificate"):
        kept.renew("riverside/a", b"0", lambda: made(99), NOW + 2 * DAY)
    with pytest.raises(PkiError, match="that key had a certificate"):
        kept.renew("riverside/b", b"9", lambda: made(99), NOW)
    late = NOW + 200 * DAY
    kept.renew("riverside/b", b"b", lambda: made(100, late + DAY), late)
    assert [each.name for each in kept.certificates()] == ["riverside/b"], "what ended long ago is forgotten"


def test_revoked_held_and_released(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    assert kept.certificates() == kept.barred() == kept.refusals(NOW) == []
    assert not kept.path.exists(), "to look makes no file"
    kept.renew("riverside/a", b"1", lambda: made(1), NOW)
    kept.renew("riverside/a", b"2", lambda: made(2), NOW + DAY)
    kept.hold("riverside/a", NOW + 3 * DAY, "flood", NOW + 2 * DAY)
    kept.hold("riverside/a", NOW + 2.5 * DAY, "shorter", NOW + 2 * DAY)
    assert [(each.serial, each.hold) for each in kept.refusals(NOW + 2 * DAY)] == [("1", True), ("2", True)]
    assert kept.states()["held"] == 2
    with pytest.raises(PkiError, match="is on hold"):
        kept.renew("riverside/a", b"3", lambda: made(3), NOW + 2 * DAY)
    assert kept.end_holds(NOW + 2.9 * DAY) == []
    assert kept.end_holds(NOW + 3 * DAY) == ["riverside/a"]
    assert [each.state for each in kept.certificates()] == ["active", "renewed"]
    assert {each.serial for each in kept.revoke("riverside/a", NOW + 4 * DAY)} == {"1", "2"}
    assert [(each.serial, each.hold) for each in kept.refusals(NOW + 4 * DAY)] == [("1", False), ("2", False)]
    assert len(kept.refusals(NOW + 95 * DAY)) == 2, "a clock that was ahead for a while takes nothing off the list"
    assert kept.refusals(NOW + 125 * DAY) == [], "what has ended long ago need not stand on it"
    with pytest.raises(PkiError, match="is revoked"):
        kept.renew("riverside/a", b"3", lambda: made(3), NOW + 4 * DAY)
    with pytest.raises(PkiError, match="more than a hold"):
        kept.hold("riverside/a", None, "x", NOW + 4 * DAY)
    token = kept.token("riverside/a", DAY, NOW + 5 * DAY)
    kept.redeem("riverside/a", token, b"3", lambda: made(3), NOW + 5 * DAY)
    assert kept.barred() == []
    assert {each.serial for each in kept.refusals(NOW + 5 * DAY)} == {"1", "2"}


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


def test_a_word_takes_nothing_off_the_list(tmp_path: Path) -> None:
    """Of a stolen board: that its certificate has ended already, or that it is another's."""
    kept = Store(tmp_path)
    kept.hear("riverside/thief", "a", 1, NOW)
    kept.hear("riverside/thief", "b", int(NOW + DAY), NOW)
    assert {each.serial for each in kept.revoke("riverside/thief", NOW)} == {"a", "b"}
    kept.redeem("riverside/c", kept.token("riverside/c", 50 * DAY, NOW), b"k", lambda: made(9), NOW + 40 * DAY)
    assert {each.serial for each in kept.refusals(NOW + 40 * DAY)} == {"a", "b"}
    # "b" was robbed's, who has said nothing of it. What was signed counts more, also against what was done by then.
    assert kept.learn([("b", "riverside/robbed", int(NOW + DAY))], NOW) == 1
    assert {each.serial for each in kept.refusals(NOW)} == {"a"}
    assert [each.serial for each in kept.revoke("riverside/robbed", NOW)] == ["b"]
    kept.hear("riverside/thief", "b", 1, NOW)
    assert kept.learn([("b", "riverside/another", 1)], NOW) == 0, "what is certain is not changed"
    assert [(each.serial, each.name) for each in kept.revoke("b", NOW)] == []
    for number in range(2 * store.MOST_SAID):
        kept.hear("riverside/chatty", f"c{number}", 1, NOW)
    assert sum(each.name == "riverside/chatty" for each in kept.certificates()) == store.MOST_SAID


def test_a_certificate_that_was_renewed_is_taken_back_too(tmp_path: Path) -> None:
    """One from flashing holds twenty years: who has copied it must not come back by it."""
    kept = Store(tmp_path)
    kept.renew("riverside/a", b"1", lambda: made(1), NOW, ("f1a54", int(NOW + 7000 * DAY)))
    assert [(each.serial, each.how, each.state) for each in kept.certificates()] == [
        ("1", "renewal", "active"), ("f1a54", "flash", "renewed"),
    ]  # fmt: skip
    kept.revoke("riverside/a", NOW)
    kept.redeem("riverside/a", kept.token("riverside/a", DAY, NOW), b"2", lambda: made(2), NOW)
    assert {each.serial for each in kept.refusals(NOW + 5000 * DAY)} == {"f1a54"}


LOG = [
    ("error:0A0000C7:SSL routines::peer did not return a certificate", "no_certificate"),
    ("error:0A000086:SSL routines::certificate verify failed", "certificate"),
    ("error:0A000076:SSL routines::no suitable signature algorithm", "tls"),
    ("error:0A000126:SSL routines::unexpected eof while reading", None),
]
LINES = [
    *((f"1795988750: OpenSSL Error[0]: {text}", kind) for text, kind in LOG),
    ("1: Client connection from 127.0.0.1 failed: error:0A00009C:SSL routines::http request.", "tls"),
    ("1: Client connection from 127.0.0.1 failed: error:0A00010B:SSL routines::wrong version number.", "tls"),
    ("1: Client connection from 127.0.0.1 failed: error:0A000126:SSL::unexpected eof while reading.", "handshake"),
    ("1: Client connection from 127.0.0.1 denied: max_connections exceeded.", "too_many"),
    ("1: Client riverside/a disconnected due to oversize packet.", "oversized"),
    ("1: Client riverside/a disconnected due to malformed packet.", "malformed"),
    ("1: Client <unknown> disconnected due to protocol error.", "protocol"),
    ("1: Client <unknown> has exceeded timeout, disconnecting.", "silent"),
    ("1: Client riverside/a has exceeded timeout, disconnecting.", None),
    ("1: Client <unknown> disconnected: Protocol error.", None),
    ("1: Client riverside/a disconnected.", None),
    ("1: New connection from 127.0.0.1:45951 on port 8883.", None),
    ("1: New client connected from 127.0.0.1:1 as riverside/a (p5, c1, k60, u'riverside/a').", None),
    ("1: Client riverside/a already connected, closing old connection.", None),
]  # fmt: skip
"""As Mosquitto 2.0.11 wrote them."""


@pytest.mark.parametrize(("line", "kind"), LINES)
def test_the_brokers_log(line: str, kind: str | None) -> None:
    assert kind_of(line) == kind


def test_who_connects_by_the_brokers_log() -> None:
    line = "1: New client connected from 127.0.0.1:42373 as riverside/a (p5, c1, k60, u'{}')."
    assert connected(line.format("riverside/a")) == "riverside/a"
    assert connected(line.format("gateway")) is None, "that is ourselves, throwing it out"


def test_a_burst_is_told_once_and_its_end() -> None:
    told: list[tuple[str, str]] = []
    bursts = Bursts(lambda kind, said: told.append((kind, said)))
    for number in range(1000):
        bursts.count("certificate", 100 + number / 10)
    bursts.count("oversized", 200.0)
    bursts.look(300.0)
    bursts.look(400.0)
    assert [kind for kind, _ in told] == ["certificate", "certificate"]
    assert told[1][1].startswith("it is over: in all the broker refused 1000 who brought one")
    assert bursts.counts["certificate"] == 1000
    assert set(bursts.counts) == set(KINDS)
    assert BURST < 1000


def chunk(node: str, number: int, now: float, link: int = 1) -> Chunk:
    return Chunk(link, now, [(f"ganglion/v1/riverside/{node}/event".encode(), b"", 1, False)] * number)


def test_who_floods() -> None:
    """One that is over the burst and the rate; not who stays below, and not by what a broker had kept."""
    judge = Floods(10.0, 600)
    begin = judge._looked
    over = [
        node
        for second in range(60)
        for node in (judge.hear([chunk("loud", 100, begin + second), chunk("fair", 10, begin + second)], begin + second)
                     or judge.look(begin + second + 1))
    ]  # fmt: skip
    assert over[0] == "riverside/loud"
    assert set(over) == {"riverside/loud"}
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("a", 1, begin)], begin)
    for second in range(10, 20):  # a queue: as much at once as a broker may send
        judge.hear([chunk(f"n{second}", RECEIVE_MAXIMUM, begin + second)], begin + second)
        assert judge.look(begin + second + 0.9) == {}
    judge.hear([chunk("a", RECEIVE_MAXIMUM, begin + 20)] * 3, begin + 20)  # and so much as no queue has of one node
    assert list(judge.look(begin + 21)) == ["riverside/a"]
    judge.hear([chunk("a", 1000, begin + 50)], begin + 90)  # we stood still for 40 s
    assert judge.look(begin + 91) == {}
    judge.hear([chunk("a", 1000, begin + 200, link=2)], begin + 200)  # a new connection
    assert judge.look(begin + 201) == {}
    judge.hear([chunk("a", 1000, begin + 300, link=2)], begin + 300)
    assert list(judge.look(begin + 301)) == ["riverside/a"]
    off = Floods(0, 1)
    off.hear([chunk("a", 1000, begin)], begin)
    assert off.look(begin + 100) == {}
    assert not off._heard


def test_several_who_flood_hide_none_of_them() -> None:
    """Together as much as only a queue has, for ever; and one beside them who does nothing wrong."""
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("first", 1, begin)], begin)
    over = []
    for second in range(10, 20):
        at = begin + second
        judge.hear([chunk("fair", 8, at), *(chunk(f"loud{n}", 2000, at) for n in range(6))], at)
        over += judge.look(at + 0.9)
    assert sorted(set(over)) == [f"riverside/loud{n}" for n in range(6)]


def test_the_table_of_floods_is_bounded_by_who_sends() -> None:
    judge = Floods(10.0, 600)
    begin = judge._looked
    judge.hear([chunk("first", 1, begin)], begin)
    judge.hear([chunk(f"n{n}", 2, begin + 10) for n in range(500)], begin + 10)
    judge.look(begin + 10)
    assert len(judge._levels) > 0
    judge.look(begin + 20)
    assert not judge._levels
    assert not judge._deep
    assert floods.BEHIND > 1


def view(node: str, **more: object) -> NodeView:
    return NodeView(site="riverside", node=node, received=NOW, online=True, **more)  # type: ignore[arg-type]


def test_the_inventory_flags_what_somebody_should_see() -> None:
    ends = int(NOW + 80 * DAY)

    def known(serial: str, node: str, state: str = "active", how: str = "token", end: int = ends) -> Certificate:
        return Certificate(serial, f"riverside/{node}", end, how, NOW - DAY, state, NOW - DAY)  # type: ignore[arg-type]

    certificates = [
        known("1", "fine"), known("2", "ending", end=int(NOW + 5 * DAY)), known("3", "revoked", "revoked"),
        known("5", "older"), known("4", "older", "renewed"), known("6", "held", "held"), known("7", "gone", end=1),
    ]  # fmt: skip
    views = [
        view("fine", certificate="1", certificate_ends=ends), view("revoked", certificate="3", certificate_ends=ends),
        view("older", certificate="4", certificate_ends=ends), view("none"),
        view("flashed", certificate="9", certificate_ends=ends), view("thief", certificate="8", certificate_ends=ends),
        view("robbed", certificate="8", certificate_ends=ends),
    ]  # fmt: skip
    bars = [Barred("riverside/held", "hold", NOW, None, "flood: 900 messages a second")]
    notes = {
        (line.name.partition("/")[2], line.serial): line.note for line in inventory(certificates, bars, views, (), NOW)
    }
    assert notes == {
        ("fine", "1"): "", ("ending", "2"): "ends in 5 d and was not renewed",
        ("revoked", "3"): "is connected by it all the same: restart the broker", ("older", "5"): "",
        ("older", "4"): "is used still, though there is a newer one",
        ("held", "6"): "flood: 900 messages a second", ("none", ""): "connects, and no certificate of it is known",
        ("flashed", "9"): "", ("thief", "8"): "another node says that it has the same",
        ("robbed", "8"): "another node says that it has the same",
    }  # fmt: skip
    assert set(claims(views)) == {"riverside/fine", "riverside/revoked", "riverside/older", "riverside/flashed"}
    listed = inventory(certificates, bars, views, ("1", "6", "9"), NOW)
    assert {line.serial for line in listed if line.state == "revoked"} == {"1", "3", "6", "9"}, "by the authority too"


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

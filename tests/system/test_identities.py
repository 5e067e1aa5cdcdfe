"""Identities at a real gateway and a real broker: enrolled, renewed, taken back, put on hold; and who is kept out."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import ExtendedKeyUsage, load_der_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.pki.authority import Authority
from gateway.pki.certificates import common_name, new_key
from sim_hardware.servers import wait_until
from tests.gateway.identified import Kept, Node, ends_within, refused, request, seconds_until, want
from tests.system.identities import Whole

MINUTE = 60.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Whole(tmp_path_factory.mktemp("identities")) as whole:
        yield whole


def test_a_life(whole: Whole) -> None:
    """From a token to a renewal to a revocation: what holds connects, what does not is thrown out and kept out."""
    whole.wait_for_enrolment()
    name = "riverside/life"
    first = whole.enrolled(name, whole.token("life"))
    assert first.name == name
    assert ends_within(first.certificate, 90)
    with Node(whole.city, first) as node:
        node.wait()
        key = new_key()
        answer = node.ask(want(request(name, key), first.der, first.key))
        second = Kept(whole.folder / "kept", b64decode(answer["cert"]), key)
        with Node(whole.city, second) as again:
            again.wait()
            assert {(line["state"], line["how"]) for line in whole.inventory(name)} == {
                ("active", "renewal"), ("renewed", "token"),
            }  # fmt: skip
            said = whole.ganglion("pki", "revoke", name)
            assert second.serial in said
            took = seconds_until(lambda: not again.connected, MINUTE, "the end of the connection")
            took += seconds_until(lambda: refused(whole.city, second) and refused(whole.city, first), MINUTE, "refusal")
    assert took < MINUTE
    print(f"revoked and refused within {took:.1f} s")  # noqa: T201
    assert {line["state"] for line in whole.inventory(name)} == {"revoked"}
    acts = [(entry["act"], entry["of"]) for entry in whole.audited() if entry.get("of") == name]
    assert acts == [(f"identity.{act}", name) for act in ("token", "issue", "issue", "revoke")]
    # A new token lets the node in again, by a new key alone.
    token = whole.token("life")
    assert whole.enrol(name, token, request(name, second.key))[0] == 400
    third = whole.enrolled(name, token)
    with Node(whole.city, third) as back:
        back.wait()


def test_enrolment_keeps_out_who_has_no_good_token(whole: Whole) -> None:
    whole.wait_for_enrolment()
    name, token = "riverside/enrol", whole.token("enrol")
    other = whole.token("other")
    key = new_key()
    good = request(name, key)
    for wrong in (other, token[:-1], token + "a", "", "x" * 5000):
        status, _, headers = whole.enrol(name, wrong, good)
        assert status == 401, wrong
        assert headers["WWW-Authenticate"].startswith("Basic")
    for name_of in ("riverside/other", "elsewhere/enrol", "riverside", "+/#", "../enrol"):
        assert whole.enrol(name_of, token, request(name_of, key))[0] == 401
    for csr in (
        request("riverside/other", key),
        request("gateway", key),
        request(name, ec.generate_private_key(ec.SECP384R1())),
        request(name, key)[:-2] + b"\0\0",
        b"",
        b"0" * 3000,
    ):
        assert whole.enrol(name, token, csr)[0] == 400
    assert whole.enrol(name, token, b"0" * 5000)[0] == 413
    status, body, headers = whole.enrol(name, token, good)
    assert status == 200, "none of these has used the token up"
    assert headers["X-Content-Type-Options"] == "nosniff"
    certificate = load_der_x509_certificate(whole.both(body)[0])
    assert common_name(certificate) == name
    usage = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert whole.enrol(name, token, good)[1] == body, "the answer may have been lost"
    assert whole.enrol(name, token, request(name, new_key()))[0] == 401, "but it is of one key alone"
    status, body, headers = whole.enrol(name, token, good, Accept="*/*")
    assert headers["Content-Type"].startswith("application/pkcs7-mime")
    assert pkcs7.load_der_pkcs7_certificates(b64decode(body)) == [certificate]


def test_two_at_once_share_no_token(whole: Whole) -> None:
    whole.wait_for_enrolment()
    name, token = "riverside/twice", whole.token("twice")
    requests = [request(name, new_key()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda csr: whole.enrol(name, token, csr)[0], requests))
    assert sorted(statuses) == [200] + [401] * 7


def test_a_renewal_needs_the_old_key(whole: Whole) -> None:
    """And the node's own certificate; a flashed one does as well as one that was issued."""
    mine, other = whole.flashed("renew"), whole.flashed("renew-other")
    name, key = mine.name, new_key()
    stranger = Authority.create(whole.folder / "stranger", "Stranger").node("riverside", "renew")
    forged = Kept.of(whole.folder / "kept", Path(stranger.folder))
    gateways = load_pem(whole.city.identity() / "cert.pem")
    with Node(whole.city, mine) as node:
        node.wait()
        good = request(name, key)
        for payload, words in (
            (want(good, mine.der, new_key()), "proof is not by the key"),
            (want(good, other.der, other.key), f"certificate is not of {name}"),
            (want(good, forged.der, forged.key), "by no authority of this city"),
            (want(good, gateways, mine.key), f"certificate is not of {name}"),
            (want(request(other.name, key), mine.der, mine.key), f"request is not for {name}"),
            (want(request(name, mine.key), mine.der, mine.key), "the old key"),
            (want(request(name, ec.generate_private_key(ec.SECP384R1())), mine.der, mine.key), "not of the curve"),
            (b'{"csr": "!", "cert": "!", "proof": "!"}', "no base64"),
            (b"[" * 5000, "cannot be read"),
            (b"x" * 9000, "larger than"),
        ):
            wait_until(lambda p=payload, w=words: w in node.ask(p).get("error", ""), 30, words)  # type: ignore[misc]
        wait_until(lambda: "cert" in node.ask(want(good, mine.der, mine.key)), 30, "a certificate")
        more = want(request(name, new_key()), mine.der, mine.key)
        wait_until(lambda: "ask again later" in node.ask(more).get("error", ""), 30, "only one a minute")
        assert not [entry for entry in node.heard if b"PRIVATE" in entry]
    # The one from flashing holds for twenty years, and nobody had told the gateway of it.
    assert mine.serial in whole.ganglion("pki", "revoke", name)
    seconds_until(lambda: refused(whole.city, mine), MINUTE, "refusal of the one before")
    back = whole.enrolled(name, whole.token("renew"))
    assert refused(whole.city, mine), "a new token is of no use to who has copied it"
    assert not refused(whole.city, back)


def load_pem(path: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def test_a_hold_and_its_end(whole: Whole) -> None:
    """The gateway's own connections go on through all of it."""
    whole.wait_for_enrolment()
    kept = whole.enrolled("riverside/held", whole.token("held"))
    with Node(whole.city, kept) as node:
        node.wait()
        whole.ganglion("pki", "hold", kept.name)
        seconds_until(lambda: not node.connected and refused(whole.city, kept), MINUTE, "the hold")
        assert {line["state"] for line in whole.inventory(kept.name)} == {"held"}
        whole.ganglion("pki", "release", kept.name)
        node.wait(MINUTE)
    assert whole.gateway.get("/healthz")[0] == 200
    assert "the connection to the broker is lost" not in whole.gateway.log


def test_who_floods_is_put_on_hold_and_let_in_again(whole: Whole) -> None:
    whole.wait_for_enrolment()
    kept, quiet = whole.enrolled("riverside/loud", whole.token("loud")), whole.flashed("quiet")
    floods = whole.gateway.metric("ganglion_floods_total")
    with Node(whole.city, quiet) as other, Node(whole.city, kept) as node:
        node.wait()
        other.wait()
        node.out.clear()

        def thrown_out() -> bool:
            for number in range(40):
                node.say("event", b"%d" % number, qos=0)
            return node.out.wait(0.1)

        took = seconds_until(thrown_out, MINUTE, "the end of the flood")
        print(f"thrown out after {took:.1f} s")  # noqa: T201
        node.wait(MINUTE)  # by itself, after three seconds
        assert other.connected
        assert not other.out.is_set()
    assert whole.gateway.metric("ganglion_floods_total") > floods
    acts = [entry["act"] for entry in whole.audited() if entry.get("of") == kept.name]
    assert acts[-2:] == ["identity.hold", "identity.release"]


def test_what_the_authority_revokes_is_taken_over(whole: Whole) -> None:
    """A flashed certificate: held by the gateway, which has the issuer's key too; ended by the authority's list."""
    kept = whole.flashed("flashed")
    birth = {"online": True, "kind": "air", "boot": 1, "identity": {"serial": kept.serial, "ends": 2**32}}
    with Node(whole.city, kept) as node:
        node.wait()
        node.say("status", json.dumps(birth).encode())
        wait_until(lambda: bool(whole.inventory(kept.name)), 30, "its birth")
        assert [line["how"] for line in whole.inventory(kept.name)] == ["flash"]
        assert "known for certain, only what" in whole.ganglion("pki", "hold", kept.name)
        seconds_until(lambda: not node.connected and refused(whole.city, kept), MINUTE, "the hold")
        whole.ganglion("pki", "release", kept.name)
        node.wait(MINUTE)
        whole.city.authority.revoke(kept.name)
        node.out.clear()
        whole.take_authoritys_list()
        assert node.out.wait(MINUTE)
        seconds_until(lambda: refused(whole.city, kept), MINUTE, "refusal")


def test_refusals_are_counted(whole: Whole) -> None:
    stranger = Authority.create(whole.folder / "stranger2", "Stranger").node("riverside", "a")
    kind = 'ganglion_broker_refused_total{kind="certificate"}'
    before = whole.gateway.metric(kind)
    assert refused(whole.city, Kept.of(whole.folder / "kept", Path(stranger.folder)))
    wait_until(lambda: whole.gateway.metric(kind) > before, 30, "its count")


def test_a_changed_table_is_taken_or_refused_whole(whole: Whole) -> None:
    """Without a restart; what is no good changes nothing, and enrolment goes on."""
    whole.wait_for_enrolment()
    before = whole.gateway.config.read_text()
    whole.gateway.write_config(before.replace(str(whole.city.issuer), str(whole.folder / "nowhere")))
    wait_until(lambda: "the one before goes on: identity.issuer" in whole.gateway.log, 30, "the refusal")
    whole.wait_for_enrolment()
    whole.gateway.write_config(before + f'days = 7\nnodes = "broker.example:{whole.city.broker.port}"\n')
    wait_until(lambda: whole.gateway.log.count("is taken") == 1, 30, "the change")
    whole.wait_for_enrolment()
    said = whole.ganglion("pki", "token", "--site", "riverside", "--node", "short")
    assert "broker.example" in said
    assert ends_within(whole.enrolled("riverside/short", whole.token("short")).certificate, 7)

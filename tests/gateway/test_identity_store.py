"""What is kept of identities: tokens, certificates, who is barred; and what the inventory makes of it."""

import stat
import threading
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.identity import store
from gateway.identity.inventory import inventory
from gateway.identity.issuer import Issued
from gateway.identity.schema import Barred, Certificate
from gateway.identity.service import claims
from gateway.identity.store import Store, TokenRefused
from gateway.pki.authority import PkiError
from gateway.records import NodeView

NOW = 1_800_000_000.0
DAY = 86_400.0


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

"""Each way of telling against a real server, or over real HTTP: what arrives, and what an answer means."""

import base64
import hashlib
import hmac
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import paho.mqtt.client as paho
import pytest
from msgspec import structs
from paho.mqtt.enums import CallbackAPIVersion

from gateway.cap.message import NAMESPACE
from gateway.config import Config, Console, Mqtt
from gateway.detect.plan import Plan
from gateway.errors import Lasting, Passing, Poison
from gateway.notify.service import documents
from gateway.notify.settings import Email, Notify, Ntfy, Topic, Webhook
from gateway.notify.targets.mail import compose
from gateway.notify.targets.ntfy import MOST_BYTES
from gateway.notify.targets.target import make_target
from gateway.notify.told import Told, first_key, next_key
from gateway.pki.authority import Authority
from gateway.records import Incident
from sim_hardware.servers import Mosquitto, free_port
from tests.gateway.conftest import NOW
from tests.gateway.hooked import Hook, Mailbox, mail_server

INCIDENT = Incident("burst.riverside.water-1.1", "burst", "riverside", "water-1", "", "critical", NOW, None, "Much.")
KEY = first_key("duty", INCIDENT)
OPENED = Told(KEY, "duty", "opened", (INCIDENT,), NOW, link="https://console.example/incidents/burst.1")
OVER = structs.replace(INCIDENT, closed=NOW + 60)
CLOSED = Told(next_key("duty", OVER, "closed"), "duty", "closed", (OVER,), NOW + 61, thread=KEY)
CONFIG = Config(("riverside",), "data", console=Console(link="https://console.example"))
MAIL = Email(name="duty", to=("ada@city.example",), sender="gateway@city.example", host="127.0.0.1", security="none")


def deliver(table: Notify, told: Told = OPENED, text: str = "Wörter\n", own: Mqtt | None = None) -> str:
    cap = documents(CONFIG, Plan())
    return make_target(table, own or Mqtt(), cap).deliver(told, "Burst – now", text)


# Webhooks.


@pytest.mark.parametrize("secret", ["whsec_" + base64.b64encode(b"k" * 24).decode(), "a plain one", "whsec_no base64"])
def test_a_webhook_is_signed_as_standard_webhooks_asks(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", secret)
    monkeypatch.setenv("TOKEN", "t0k")
    with Hook() as hook:
        said = deliver(Webhook(name="duty", url=f"{hook.url}/in?x=1", secret_env="SECRET", token_env="TOKEN"))
    (posted,) = hook.posted
    assert (said, posted.path, posted.headers["content-type"]) == ("204", "/in?x=1", "application/json")
    assert posted.headers["authorization"] == "Bearer t0k"
    assert (posted.headers["webhook-id"], posted.headers["idempotency-key"]) == (KEY, f'"{KEY}"')
    key = b"k" * 24 if secret.endswith("r") and " " not in secret else secret.encode()
    signed = f"{KEY}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert posted.headers["webhook-signature"] == f"v1,{right}"
    assert posted.json["type"] == "incident.opened"
    assert posted.json["timestamp"] == "2026-11-23T10:40:00Z"
    data = posted.json["data"]
    assert (data["subject"], data["text"], data["exercise"]) == ("Burst – now", "Wörter\n", False)
    assert msgspec.convert(data["incidents"], list[Incident]) == [INCIDENT]


def test_a_webhook_without_secrets_has_none_of_their_headers() -> None:
    with Hook() as hook:
        deliver(Webhook(name="duty", url=hook.url))
    assert not hook.posted[0].headers.keys() & {"authorization", "webhook-signature", "webhook-timestamp"}


def test_a_webhook_may_be_sent_cap_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each incident, signed like the others; each of a digest has a key of its own, the same each time."""
    monkeypatch.setenv("SECRET", "s")
    second = structs.replace(INCIDENT, id="jam.riverside.traffic-1.1", kind="jam", drill=True)
    digest = structs.replace(OPENED, event="digest", incidents=(INCIDENT, second))
    with Hook() as hook:
        table = Webhook(name="duty", url=hook.url, format="cap", secret_env="SECRET")
        for told in (OPENED, CLOSED, digest, digest, Told("k", "duty", "test", (), NOW)):
            deliver(table, told)
    assert {each.headers["content-type"] for each in hook.posted} == {"application/cap+xml"}
    found = []
    for each in hook.posted:
        key, stamp = each.headers["webhook-id"], each.headers["webhook-timestamp"]
        right = base64.b64encode(hmac.new(b"s", f"{key}.{stamp}.".encode() + each.body, hashlib.sha256).digest())
        assert each.headers["webhook-signature"] == f"v1,{right.decode()}"
        alert = ElementTree.fromstring(each.body)
        found.append([alert.findtext(f"{{{NAMESPACE}}}{name}") for name in ("incidents", "status", "msgType")])
    jam = [second.id, "Exercise", "Alert"]
    burst = [INCIDENT.id, "Actual", "Alert"]
    assert found == [burst, [INCIDENT.id, "Actual", "Cancel"], burst, jam, burst, jam, ["test", "Test", "Alert"]]
    keys = [each.headers["webhook-id"] for each in hook.posted]
    assert keys[2:4] == keys[4:6]
    assert len(set(keys)) == 5


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (500, {}, Passing),
        (503, {"Retry-After": "7"}, Passing),
        (429, {}, Passing),
        (408, {}, Passing),
        (409, {}, Passing),
        (401, {}, Lasting),
        (403, {}, Lasting),
        (404, {}, Lasting),
        (410, {}, Lasting),
        (302, {"Location": "http://127.0.0.1:9/"}, Lasting),
        (400, {}, Poison),
        (413, {}, Poison),
        (422, {}, Poison),
    ],
)
def test_what_an_answer_over_http_means(status: int, headers: dict[str, str], error: type[Exception]) -> None:
    with Hook() as hook:
        hook.answer = (status, headers)
        for table in (Webhook(name="duty", url=hook.url), Ntfy(name="duty", topic="t", url=hook.url)):
            with pytest.raises(error, match=f"{hook.url} answered {status}") as raised:
                deliver(table)
        assert getattr(raised.value, "retry_after", None) == (7.0 if "Retry-After" in headers else None)
        assert len(hook.posted) == 2  # no redirect is followed


def test_the_path_of_a_webhook_is_told_to_nobody() -> None:
    """It is often a password."""
    with Hook() as hook:
        hook.answer = (500, {})
        with pytest.raises(Passing) as raised:
            deliver(Webhook(name="duty", url=f"{hook.url}/services/T0/s3cret?key=s3cret"))
    assert "s3cret" not in str(raised.value)
    with pytest.raises(Passing) as raised:
        deliver(Webhook(name="duty", url=f"http://127.0.0.1:{free_port()}?key=s3cret"))
    assert "s3cret" not in str(raised.value)
    with pytest.raises(Passing) as raised:
        deliver(Webhook(name="duty", url=f"http://127.0.0.1:{free_port()}/s3cret"))
    assert "s3cret" not in str(raised.value)


def test_nobody_at_home_passes() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Passing, match=f"{url} does not answer: Connection refused"):
        deliver(Webhook(name="duty", url=url))


# ntfy.


def test_a_push_is_as_loud_as_the_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "tk_1")
    with Hook() as hook:
        table = Ntfy(name="duty", topic="secret-topic", url=hook.url, token_env="TOKEN")
        deliver(table)
        deliver(table, CLOSED)
        deliver(table, structs.replace(OPENED, exercise=True), "ö" * 5000)
        deliver(table, Told("k", "duty", "test", (), NOW))
    loud, calm, long, test = (each.json for each in hook.posted)
    assert {each.headers["authorization"] for each in hook.posted} == {"Bearer tk_1"}
    assert loud == {
        "topic": "secret-topic", "title": "Burst – now", "message": "Wörter\n", "priority": 5,
        "tags": ["rotating_light"], "click": "https://console.example/incidents/burst.1",
    }  # fmt: skip
    assert (calm["priority"], calm["tags"], "click" in calm) == (2, ["white_check_mark"], False)
    assert long["tags"] == ["rotating_light", "exercise"]
    assert MOST_BYTES - 2 < len(long["message"].encode()) <= MOST_BYTES + 4
    assert (test["priority"], test["tags"]) == (2, ["information_source"])


# Mail.


def test_one_incident_is_one_thread_of_mails() -> None:
    box = Mailbox()
    with mail_server(box) as port:
        table = structs.replace(MAIL, port=port, to=("ada@city.example", "bob@city.example"))
        said = deliver(table)
        deliver(table, CLOSED)
        deliver(table)
    assert said == f"127.0.0.1:{port} took it for ada@city.example, bob@city.example"
    first, second, again = box.mails
    assert box.envelopes[0].rcpt_tos == ["ada@city.example", "bob@city.example"]
    assert first["Message-ID"] == again["Message-ID"] == f"<{KEY}@city.example>"
    assert first["In-Reply-To"] is None
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"] != second["Message-ID"]
    assert (first["Subject"], first.get_content()) == ("Burst – now", "Wörter\r\n")
    assert (first["List-Id"], first["Auto-Submitted"]) == (
        "Ganglion duty <duty.ganglion.city.example>",
        "auto-generated",
    )
    assert first["Date"].datetime.timestamp() == NOW
    assert (first["Importance"], second["Importance"]) == ("high", None)


def test_no_subject_begins_another_header() -> None:
    mail = compose(MAIL, OPENED, "Burst\r\nBcc: evil@evil.example\r\n\r\nbody", "text")
    assert mail["Subject"] == "Burst Bcc: evil@evil.example body"
    assert mail["Bcc"] is None
    assert b"\nBcc" not in mail.as_bytes()


@pytest.fixture
def identity(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """The file of an authority, and what a server of it needs for TLS."""
    city = Authority.create(tmp_path / "pki", "Riverside")
    server = city.server(["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{server.folder}/cert.pem", f"{server.folder}/key.pem")
    return str(city.folder / "ca.pem"), context


def test_a_mail_server_that_wants_starttls_and_a_login(
    identity: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, context = identity
    box = Mailbox()
    with mail_server(box, context) as port:
        table = structs.replace(MAIL, port=port, security="starttls", ca=ca, username="gw", password_env="PASSWORD")
        monkeypatch.setenv("PASSWORD", "open sesame")
        deliver(table)
        assert box.logins == [(b"gw", b"open sesame")]
        assert len(box.mails) == 1
        monkeypatch.setenv("PASSWORD", "guess")
        with pytest.raises(Lasting, match=r"535 .*check to, from, username, the password"):
            deliver(table)
        with pytest.raises(Lasting, match=r"TLS fails: .*certificate verify failed"):
            deliver(structs.replace(table, ca=""))
        with pytest.raises(Lasting, match="530 "):
            deliver(structs.replace(MAIL, port=port))
    assert len(box.mails) == 1


def test_a_mail_server_that_speaks_tls_alone(identity: tuple[str, ssl.SSLContext]) -> None:
    ca, context = identity
    box = Mailbox()
    with mail_server(box, context, whole=True) as port:
        deliver(structs.replace(MAIL, port=port, security="tls", ca=ca))
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        ({"DATA": "451 busy"}, Passing, "451 busy"),
        ({"DATA": "552 too large"}, Poison, "552 too large"),
        ({"RCPT": "450 later"}, Passing, "no recipient: ada@city.example: 450 later"),
        ({"RCPT": "550 nobody here"}, Lasting, "no recipient: ada@city.example: 550 nobody here"),
    ],
)
def test_what_a_mail_servers_answer_means(says: dict[str, str], error: type[Exception], words: str) -> None:
    box = Mailbox()
    box.says = says
    with mail_server(box) as port, pytest.raises(error, match=words):
        deliver(structs.replace(MAIL, port=port))


def test_a_recipient_that_is_refused_does_not_keep_it_from_the_others() -> None:
    box = Mailbox()
    box.says = {"bob@city.example": "550 no Bob"}
    with mail_server(box) as port:
        said = deliver(structs.replace(MAIL, port=port, to=("ada@city.example", "bob@city.example")))
    assert said.endswith("took it for ada@city.example; refused for bob@city.example: 550 no Bob")
    assert len(box.mails) == 1


def test_no_mail_server_passes() -> None:
    with pytest.raises(Passing, match="does not answer: Connection refused"):
        deliver(structs.replace(MAIL, port=free_port()))


# MQTT.


def heard(port: int, topic: str, number: int, between: Callable[[], object]) -> list[tuple[bytes, bool]]:
    """(payload, whether it was retained) of what comes on a topic while `between` runs."""
    messages: list[tuple[bytes, bool]] = []
    ready, done = threading.Event(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: ready.set()

    def take(_: object, __: object, message: paho.MQTTMessage) -> None:
        messages.append((message.payload, message.retain))
        if len(messages) == number:
            done.set()

    client.on_message = take
    client.connect("127.0.0.1", port)
    client.subscribe(topic, 1)
    client.loop_start()
    try:
        assert ready.wait(10)
        between()
        assert done.wait(10), messages
    finally:
        client.disconnect()
        client.loop_stop()
    return messages


def test_on_a_topic_of_the_gateways_broker_or_of_another(broker: Mosquitto) -> None:
    own = Mqtt("127.0.0.1", broker.port)
    kept = Topic(name="duty", topic="city/board", retained=True)
    ((body, retained),) = heard(broker.port, "city/board", 1, lambda: deliver(kept, own=own))
    assert msgspec.json.decode(body)["data"]["incidents"][0]["id"] == INCIDENT.id
    assert not retained  # it came while somebody listened
    assert heard(broker.port, "city/board", 1, lambda: None) == [(body, True)]
    other = Topic(name="duty", topic="x", host="127.0.0.1", port=broker.port)
    assert heard(broker.port, "x", 1, lambda: deliver(other, own=Mqtt("nowhere.invalid"))) == [(body, False)]


def test_no_broker_passes() -> None:
    with pytest.raises(Passing, match="the broker at 127"):
        deliver(Topic(name="duty", topic="x"), own=Mqtt("127.0.0.1", free_port()))


def test_a_broker_that_gives_no_right_is_understood(tmp_path: Path) -> None:
    """It says so in its acknowledgement."""
    (tmp_path / "acl").write_text("topic readwrite allowed/#\n")
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}") as broker:
        own = Mqtt("127.0.0.1", broker.port)
        assert deliver(Topic(name="duty", topic="allowed/x"), own=own).endswith("took it on allowed/x")
        with pytest.raises(Lasting, match="the broker refuses city/board: Not authorized"):
            deliver(Topic(name="duty", topic="city/board"), own=own)

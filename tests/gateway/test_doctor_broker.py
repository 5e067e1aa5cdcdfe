"""`ganglion doctor` and real brokers that have something wrong."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.doctor.broker import queue
from gateway.doctor.hearing import Hearing
from gateway.pki.authority import Authority
from sim_hardware.servers import Mosquitto, wait_until
from tests.gateway.faulty import Installation, certify, listener
from tests.system.gateway_process import NOBODY, SECONDS

YEAR = timedelta(days=365)
HOST = "127.0.0.1"


@pytest.fixture
def city(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki", "Riverside")


def installation(folder: Path, broker: Mosquitto | int, **mqtt: object) -> Installation:
    port = broker if isinstance(broker, int) else broker.port
    return Installation(folder / "gateway", mqtt={"host": HOST, "port": port} | mqtt)


def tls_of(city: Authority, identity: Path | None) -> dict[str, object]:
    own = {} if identity is None else {"cert": f"{identity}/cert.pem", "key": f"{identity}/key.pem"}
    return {"ca": f"{city.folder}/ca.pem", **own}


@pytest.mark.parametrize(
    ("mqtt", "says"),
    [
        ({"host": "nowhere.invalid"}, "nowhere.invalid is not known"),
        ({"port": NOBODY}, "nobody listens at 127.0.0.1:9"),
    ],
)
def test_nobody_there(tmp_path: Path, mqtt: dict[str, object], says: str) -> None:
    level, words = installation(tmp_path, NOBODY, **mqtt).says("broker address")
    assert level == "fault"
    assert says in words
    later = installation(tmp_path, NOBODY, **mqtt).says("broker rights")
    assert later == ("not asked", "`broker login` was not asked -> ")


def test_a_sound_broker(tmp_path: Path, broker: Mosquitto) -> None:
    own = installation(tmp_path, broker)
    for check in ("broker address", "broker tls", "broker login", "broker rights", "broker queue"):
        assert own.says(check)[0] == "ok", own.doctor(check)


def test_a_sound_broker_with_tls(tmp_path: Path, city: Authority) -> None:
    server, client = (certify(city, kind, hosts, YEAR) for kind, hosts in (("server", [HOST]), ("gateway", ())))
    with Mosquitto(tmp_path / "broker", settings=listener(city, server)) as broker:
        own = installation(tmp_path, broker, **tls_of(city, client))
        for check in ("own certificate", "broker tls", "broker login", "broker rights"):
            assert own.says(check)[0] == "ok", own.doctor(check)
        soon = certify(city, "gateway", (), timedelta(days=7))
        own = installation(tmp_path, broker, **tls_of(city, soon))
        assert own.says("own certificate")[0] == "warning"
        assert own.says("broker login")[0] == "ok", "a warning holds nothing up"


@pytest.mark.parametrize(
    ("hosts", "ends", "says"),
    [
        ([HOST], timedelta(days=-2), "the broker's certificate has ended on"),
        (["broker.example"], YEAR, "is for broker.example, not for 127.0.0.1"),
    ],
)
def test_the_brokers_certificate(tmp_path: Path, city: Authority, hosts: list[str], ends: timedelta, says: str) -> None:
    server, client = certify(city, "server", hosts, ends), certify(city, "gateway", (), YEAR)
    with Mosquitto(tmp_path / "broker", settings=listener(city, server)) as broker:
        level, words = installation(tmp_path, broker, **tls_of(city, client)).says("broker tls")
    assert level == "fault"
    assert says in words


def test_certificates_of_somebody_else(tmp_path: Path, city: Authority) -> None:
    """Each side has another authority; and a gateway that shows none."""
    other = Authority.create(tmp_path / "other", "Elsewhere")
    server, client = certify(city, "server", [HOST], YEAR), certify(other, "gateway", (), YEAR)
    with Mosquitto(tmp_path / "broker", settings=listener(city, server)) as broker:
        for tls, says in (
            (tls_of(other, client), "does not hold by mqtt.ca"),
            (tls_of(other, client) | {"ca": f"{city.folder}/ca.pem"}, "does not take the gateway's certificate"),
            (tls_of(city, None), "does not take the gateway's certificate"),
        ):
            level, words = installation(tmp_path, broker, **tls).says("broker tls")
            assert level == "fault"
            assert says in words


def test_own_files(tmp_path: Path, city: Authority) -> None:
    """Ended, the key of another, no file, no PEM."""
    good, ended = certify(city, "gateway", (), YEAR), certify(city, "gateway", (), timedelta(days=-1))
    for changes, says in (
        (tls_of(city, ended), "the certificate of mqtt.cert has ended"),
        ({"key": f"{ended}/key.pem"}, "is not the key of"),
        ({"ca": f"{tmp_path}/none.pem"}, "mqtt.ca: "),
        ({"cert": f"{good}/key.pem"}, "is no readable PEM certificate"),
        ({"key": f"{good}/cert.pem"}, "is no readable key"),
    ):
        level, words = installation(tmp_path, NOBODY, **tls_of(city, good) | changes).says("own certificate")
        assert (level, says in words) == ("fault", True), words


def test_tls_spoken_to_a_plain_port_and_the_reverse(tmp_path: Path, city: Authority, broker: Mosquitto) -> None:
    level, words = installation(tmp_path, broker, **tls_of(city, None)).says("broker tls")
    assert (level, "speaks plain MQTT, the gateway TLS" in words) == ("fault", True), words
    server = certify(city, "server", [HOST], YEAR)
    with Mosquitto(tmp_path / "tls", settings=listener(city, server)) as secure:
        level, words = installation(tmp_path, secure).says("broker login")
        assert (level, "speaks TLS, the gateway does not" in words) == ("fault", True), words


def test_no_broker_at_all(tmp_path: Path, influx_url: str) -> None:
    """Another kind of server at the port."""
    level, words = installation(tmp_path, int(influx_url.rpartition(":")[2])).says("broker login")
    assert (level, "this is not how a broker answers" in words) == ("fault", True), words


@pytest.fixture
def influx_url(influx: object) -> str:
    return str(influx.url)  # type: ignore[attr-defined]


def test_a_refused_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "gateway", "right"], check=True, timeout=20)
    passwords.chmod(0o644)
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous false\npassword_file {passwords}") as broker:
        own = installation(tmp_path, broker, username="gateway", password_env="PASSWORD")
        monkeypatch.setenv("PASSWORD", "right")
        assert own.says("broker login")[0] == "ok"
        monkeypatch.setenv("PASSWORD", "wrong")
        level, words = own.says("broker login")
        assert (level, "Not authorized -> check mqtt.username" in words) == ("fault", True), words


def test_rights_to_publish(tmp_path: Path) -> None:
    """An acl that lets nodes be commanded, but no incident be told."""
    rules = tmp_path / "acl"
    rules.write_text("topic read ganglion/v1/#\ntopic write ganglion/v1/riverside/+/#\n")
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous true\nacl_file {rules}") as broker:
        own = installation(tmp_path, broker)
        assert own.says("broker rights")[0] == "ok"
        rules.write_text("topic read ganglion/v1/#\ntopic write ganglion/v1/riverside/+/command\n")
        broker.stop()
        broker.start()
        level, words = own.says("broker rights")
        assert level == "fault"
        assert "may not publish to ganglion/v1/riverside/incident/doctor" in words
        assert "command" not in words
        assert own.says("broker queue") == ("not asked", "`broker rights` has a fault -> ")


def test_rights_to_subscribe(tmp_path: Path) -> None:
    """Refused by Mosquitto's other way of rights, since an acl_file says yes and then sends nothing."""
    rules = {
        "defaultACLAccess": {
            "publishClientSend": True,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [],
        "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
        "roles": [
            {
                "rolename": "some",
                "acls": [{"acltype": "subscribePattern", "topic": "ganglion/v1/+/+/status", "allow": True}],
            }
        ],
        "anonymousGroup": "all",
    }
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules))
    (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    settings = f"plugin {plugin}\nplugin_opt_config_file {file}\nallow_anonymous true"
    with Mosquitto(tmp_path / "broker", settings=settings) as broker:
        level, words = installation(tmp_path, broker).says("broker rights")
    assert level == "fault"
    assert "may not subscribe to ganglion/v1/riverside/+/telemetry" in words
    assert "/status" not in words


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("max_qos 0", "QoS 0 only"),
        ("retain_available false", "no retained messages"),
        ("max_packet_size 2000", "at most 2000 bytes"),
    ],
)
def test_limits_of_the_broker(tmp_path: Path, setting: str, says: str) -> None:
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous true\n{setting}") as broker:
        level, words = installation(tmp_path, broker).says("broker login")
    assert (level, says in words) == ("fault", True), words


class Absent:
    """A session at the broker whose owner is away."""

    def __init__(self, broker: Mosquitto, client_id: str, user: str = "") -> None:
        self.broker = broker
        self.client_id = client_id
        self.user = user
        self.visit()

    def visit(self, wanted: int = 0) -> bool:
        """Come, and go when the subscription is granted and so many messages came; whether the session was there."""
        present: list[bool] = []
        granted: list[int] = []
        heard: list[str] = []
        client = Client(CallbackAPIVersion.VERSION2, self.client_id, protocol=MQTTv5, manual_ack=True)
        if self.user:
            client.username_pw_set(self.user)
        client.on_connect = lambda _c, _u, flags, *_: present.append(flags.session_present)
        client.on_subscribe = lambda _c, _u, mid, *_: granted.append(mid)
        client.on_message = lambda _c, _u, message: heard.append(message.topic)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        client.connect(HOST, self.broker.port, clean_start=False, properties=properties)
        client.loop_start()
        wait_until(lambda: bool(present), SECONDS, "a connection")
        client.subscribe("ganglion/v1/riverside/+/telemetry", 1)
        wait_until(lambda: bool(granted) and len(heard) >= wanted, SECONDS, "what is held for the session")
        client.disconnect()
        client.loop_stop()
        return present[0]


def publish(broker: Mosquitto, number: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set("node")
    client.connect(HOST, broker.port)
    client.loop_start()
    for _ in range(number):
        client.publish("ganglion/v1/riverside/air-0007/telemetry", b"{}", 1).wait_for_publish(SECONDS)
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def one_session(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that gives every program of a user the same client id."""
    with Mosquitto(tmp_path / "broker", settings="allow_anonymous true\nuse_username_as_clientid true") as broker:
        yield broker


def test_a_broker_that_mixes_sessions_up(tmp_path: Path, one_session: Mosquitto) -> None:
    """It is told, and what the broker holds for the gateway stays."""
    gateway = Absent(one_session, "ganglion-gateway-riverside", "gateway")
    publish(one_session, 3)
    level, words = installation(tmp_path, one_session, username="gateway").says("broker login")
    assert (level, "use_username_as_clientid" in words) == ("fault", True), words
    assert gateway.visit(wanted=3)


def test_a_broker_that_drops(tmp_path: Path) -> None:
    """Because of the bound of its queue, which it does not tell beforehand."""
    settings = "allow_anonymous true\nmax_queued_messages 1\nsys_interval 1"
    with Mosquitto(tmp_path / "broker", settings=settings) as broker:
        own = installation(tmp_path, broker)
        Absent(broker, "ganglion-gateway-riverside")
        publish(broker, 50)
        wait_until(lambda: own.says("broker queue")[0] == "warning", SECONDS, "the broker's count")
        assert "max_queued_messages 0" in own.says("broker queue")[1]


@pytest.mark.parametrize(
    ("dropped", "tells", "level", "words"),
    [
        (None, False, "not asked", "does not show $SYS"),
        (None, True, "ok", "nothing within the last minute"),
        (0, True, "ok", "nothing since its start"),
        (3, True, "warning", "dropped 3 messages"),
    ],
)
def test_a_count_that_the_broker_does_not_tell_any_more(
    tmp_path: Path, dropped: int | None, tells: bool, level: str, words: str
) -> None:
    """Mosquitto forgets its counts a minute after they changed: to wait for that would take a minute."""
    context = installation(tmp_path, NOBODY).context()
    context.hearing = Hearing([], [], [], dropped, tells)
    (said,) = queue(context)
    assert (said.level, words in said.seen) == (level, True), said


def test_nothing_stays_at_the_broker(tmp_path: Path, broker: Mosquitto) -> None:
    """No retained message, no session: the broker's store is as before."""
    own = installation(tmp_path, broker)
    broker.stop()
    before = (broker.folder / "mosquitto.db").read_bytes()
    broker.start()
    assert own.says("broker queue")[0] == "ok"
    broker.stop()
    after = (broker.folder / "mosquitto.db").read_bytes()
    assert b"doctor" not in after
    assert len(after) == len(before)

"""What the gateway promises, as a process between a real broker and a real database."""

import json
import signal
import time

import pytest
import urllib3

from sim_hardware.servers import InfluxDB, Mosquitto, wait_until
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher

NODES = 5


def message(node: int, seq: int, *, time_: int) -> tuple[str, bytes]:
    """A pack of one reading, at a second of its own, so that each is one point of the database."""
    name = f"air-{node:04}"
    first = {"bn": f"riverside/{name}/", "bt": time_ + seq, "n": "boot", "v": 1}
    records = [first, {"n": "seq", "v": seq}, {"n": "pm2_5", "u": "ug/m3", "v": 10 + seq / 1000}]
    return f"ganglion/v1/riverside/{name}/telemetry", json.dumps(records).encode()


def points(influx: InfluxDB, database: str) -> int:
    """How many points of `air` the database has."""
    with urllib3.PoolManager() as pool:
        fields = {"db": database, "q": "SELECT count(pm2_5) FROM air"}
        answer = pool.request("GET", f"{influx.url}/query", fields=fields).json()
    series = answer["results"][0].get("series")
    return int(series[0]["values"][0][1]) if series else 0


@pytest.fixture
def start_time() -> int:
    return int(time.time()) - 10_000


def test_kill_9_in_the_middle_loses_nothing_and_writes_nothing_twice(
    gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, influx_db: str, start_time: int
) -> None:
    """Killed three times under load: every pack is one point, and the ledger balances."""
    rounds, each = 4, 400
    with Publisher(broker) as publisher:
        for number in range(rounds):
            heard = gateway.ledger().received if number else 0  # before: it may have all of them in no time
            seqs = range(number * each, (number + 1) * each)
            publisher.send(message(node, seq, time_=start_time) for seq in seqs for node in range(NODES))
            if number < rounds - 1:
                gateway.wait_for("packs in the middle", lambda ledger, heard=heard: ledger.received > heard + 50)
                gateway.kill()
                assert gateway.ledger().balanced
                gateway.start()
    total = rounds * each * NODES
    ledger = gateway.wait_for("the end", lambda ledger: ledger.written == total and ledger.waiting == 0)
    assert ledger.balanced
    assert (ledger.gaps, ledger.dead_letters) == (0, 0)
    assert points(influx, influx_db) == total
    nodes = gateway.cli_json("nodes")
    assert [(node["seq"], node["packs"], node["gaps"]) for node in nodes] == [
        (rounds * each - 1, rounds * each, 0)
    ] * NODES


def test_the_broker_holds_what_is_not_on_disk(gateway: GatewayProcess, broker: Mosquitto, start_time: int) -> None:
    """A gateway that stands still has acknowledged nothing: after its death everything comes to the next one, once."""
    gateway.send(signal.SIGSTOP)
    with Publisher(broker) as publisher:
        publisher.send(message(1, seq, time_=start_time) for seq in range(100))
    assert gateway.ledger().received == 0
    gateway.kill()
    gateway.start()
    ledger = gateway.wait_for("the packs", lambda ledger: ledger.written == 100)
    assert (ledger.received, ledger.duplicates) == (100, 0)


def test_sigterm_ends_cleanly_with_everything_acknowledged(
    gateway: GatewayProcess, broker: Mosquitto, start_time: int
) -> None:
    """Exit code 0; what was received is written or waits, and none of it comes again."""
    with Publisher(broker) as publisher:
        publisher.send(message(1, seq, time_=start_time) for seq in range(300))
        gateway.wait_for("the first packs", lambda ledger: ledger.received > 0)
        assert gateway.stop() == 0
    gateway.start()
    ledger = gateway.wait_for("the rest", lambda ledger: ledger.written == 300)
    assert (ledger.received, ledger.gaps) == (300, 0)


def test_duplicates_are_known_over_a_restart(gateway: GatewayProcess, broker: Mosquitto, start_time: int) -> None:
    """A node that never saw its PUBACK sends again, to another process."""
    with Publisher(broker) as publisher:
        publisher.send(message(1, seq, time_=start_time) for seq in range(20))
        gateway.wait_for("the packs", lambda ledger: ledger.written == 20)
        assert gateway.stop() == 0
        publisher.send(message(1, seq, time_=start_time) for seq in range(15, 25))
    gateway.start()
    ledger = gateway.wait_for("both", lambda ledger: ledger.received == 30 and ledger.waiting == 0)
    assert (ledger.written, ledger.duplicates, ledger.gaps) == (25, 5, 0)


def test_the_brokers_restart_is_survived(
    gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, influx_db: str, start_time: int
) -> None:
    """Not ready meanwhile, and it says why; afterwards everything is as before."""
    with Publisher(broker) as publisher:
        publisher.send(message(1, seq, time_=start_time) for seq in range(50))
    broker.stop()

    def broker_is_named() -> bool:
        """And nothing else: a disk that is slow at this moment is named too, and comes and goes."""
        status, body = gateway.get("/readyz")
        parts = json.loads(body)["parts"] if status == 503 else {}
        others = {parts.pop(each, "") for each in ("journal", "database")}
        return others == {"ready"} and "broker" in parts["broker"]

    wait_until(broker_is_named, SECONDS, "the gateway notices")
    assert gateway.get("/healthz")[0] == 200
    broker.start()
    wait_until(lambda: gateway.get("/readyz")[0] == 200, SECONDS, "the gateway is back")
    with Publisher(broker) as publisher:
        publisher.send(message(1, seq, time_=start_time) for seq in range(50, 100))
    ledger = gateway.wait_for("everything", lambda ledger: ledger.written == 100)
    assert (ledger.gaps, ledger.balanced) == (0, True)
    assert points(influx, influx_db) == 100


def test_bad_input_becomes_dead_letters_and_its_neighbours_are_written(
    gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, influx_db: str, start_time: int
) -> None:
    """Each kind has its own reason, is listed with its bytes, and stops nothing."""
    topic, good = message(1, 0, time_=start_time)
    bad = {
        "json": good[:-5],
        "senml": good.replace(b'"bt"', b'"bx"'),
        "size": good + b" " * 4096,
        "identity": good.replace(b"air-0001", b"air-0002"),
        "unit": good.replace(b"ug/m3", b"mg/m3"),
        "quantity": good.replace(b"pm2_5", b"pm25"),
        "value": good.replace(b'"v": 10.0', b'"v": -10.0'),
        "future": good.replace(str(start_time).encode(), str(start_time + 20_000).encode()),
        "past": good.replace(str(start_time).encode(), b"946684800"),
        "sequence": good.replace(b'{"n": "seq", "v": 0}, ', b""),
    }
    with Publisher(broker) as publisher:
        for seq, payload in enumerate(bad.values()):
            publisher.send([message(1, seq, time_=start_time), (topic, payload)])
        publisher.send([("ganglion/v1/riverside/Air_1/telemetry", good), message(1, len(bad), time_=start_time)])
    ledger = gateway.wait_for("all", lambda ledger: ledger.received == 2 * len(bad) + 2 and ledger.waiting == 0)
    assert (ledger.written, ledger.dead_letters, ledger.gaps) == (len(bad) + 1, len(bad) + 1, 0)
    assert points(influx, influx_db) == len(bad) + 1
    letters = gateway.cli_json("dead-letters", "--limit", "99")[::-1]
    assert [letter["reason"] for letter in letters] == [*bad, "topic"]
    assert [letter["payload"].encode() for letter in letters] == [*bad.values(), good]

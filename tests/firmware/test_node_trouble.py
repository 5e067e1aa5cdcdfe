"""A whole node on a real littlefs: losses of power, resets and outages in one another's way; what hangs."""

import signal
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest

from gateway.records import Pack
from sim_hardware.servers import Mosquitto
from tests.firmware.board import Board
from tests.firmware.nodes import BEGIN, FOREVER, HARD, POWER_ON, WATCHDOG, split
from tests.firmware.peers import Listener
from tests.firmware.test_node_life import CONNECTED, HOUR, RESET, Gateway
from tests.firmware.test_uplink import birth_of_a_connection

Switch = Callable[..., Board]

QUICK = """
    from node import uplink
    uplink._FIRST_MS, uplink._LONGEST_MS, uplink._RECOVERY_MS = 20, 100, 20
"""


def offline(packs: int) -> str:
    """Live until so many more wait; there is no broker."""
    return f"""
{QUICK}
    begun = node.outbox.seq
    while node.outbox.seq - begun < {packs}:
        await asyncio.sleep_ms(1000)
    print("made", node.outbox.seq, len(node.outbox), len(node.outbox._fresh), node.outbox.dropped)
"""


def messages(gateway: Gateway) -> Iterator[list[Pack]]:
    """The packs of each message, of whatever stream, as they come."""
    while True:
        heard = gateway.next()
        if heard.topic.rpartition("/")[2] in ("telemetry", "event", "health"):
            yield split(heard)


def line_if_any(board: Board, beginning: str) -> str:
    """Of a board that has ended; empty when there is no more."""
    try:
        return board.line(beginning)
    except AssertionError:
        return ""


def keys(found: list[Pack]) -> list[tuple[int, int]]:
    return [(pack.boot, pack.seq) for pack in found]


def test_nothing_is_lost_by_losses_of_power_in_an_outage(broker: Mosquitto, on_flash: Switch) -> None:
    """Three boots while the broker is away, ended by a cut, a hang and a cut: all comes in order, merged, once."""
    broker.stop()
    made = []
    for n, cause in enumerate((POWER_ON, POWER_ON, WATCHDOG)):
        life = offline(12 + n) + FOREVER
        with on_flash(broker.port, BEGIN + n * HOUR, life, cause, window_s=15) as board:
            seq, waiting, fresh, dropped = (int(word) for word in board.line("made").split())
            assert (fresh, dropped) == (0, 0)
            assert waiting >= sum(made) + seq
            board.kill()
        made.append(seq)
    broker.start()
    life = QUICK + "\n    while len(node.outbox) or not node.outbox.acked:\n        await asyncio.sleep_ms(500)\n"
    life += "    print('rest', node.outbox.dropped)\n"
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + 3 * HOUR, life, HARD, window_s=15) as board:
        sent = messages(gateway)
        found: list[Pack] = []
        longest = 0
        while not found or found[-1].boot < 4:
            found += (message := next(sent))
            longest = max(longest, len(message))
        assert board.line("rest") == "0"
    earlier = [key for key in keys(found) if key[0] < 4]
    assert len(earlier) >= waiting
    for boot, number in enumerate(made, 1):
        seqs = [seq for each, seq in earlier if each == boot]
        assert seqs == list(range(len(seqs)))
        assert len(seqs) >= number
    assert earlier == sorted(earlier)
    assert longest > 5, "one by one"
    times = [pack.time for pack in found]
    assert times == sorted(times)


@pytest.mark.parametrize("cut", [100, 5_000, 9_999, 20_001])
def test_power_fails_in_the_middle_of_a_write(broker: Mosquitto, on_flash: Switch, cut: int) -> None:
    """Of a whole node in an outage: each pack that it had kept comes from the next boot, and the flash is in order."""
    life = f"""
{QUICK}
    chip.left = {cut}
    while True:
        await asyncio.sleep_ms(100)
        print("kept", node.outbox.seq, len(node.outbox._fresh))
"""
    broker.stop()
    last = "0 0"
    with on_flash(broker.port, BEGIN, life, window_s=15) as board:
        assert board.ended() == -signal.SIGKILL
        for kept in iter(lambda: line_if_any(board, "kept"), ""):
            last = kept
    broker.start()
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + HOUR, QUICK + FOREVER, window_s=15):
        found: list[tuple[int, int]] = []
        sent = messages(gateway)
        while not found or found[-1][0] == 1:
            found += keys(next(sent))
    seqs = [seq for boot, seq in found if boot == 1]
    number, fresh = (int(word) for word in last.split())
    assert seqs == list(range(len(seqs)))
    assert len(seqs) in (number, number + 1)
    assert fresh == 0


def test_a_city_that_comes_back_does_not_drown_its_gateway(broker: Mosquitto, on_flash: Switch) -> None:
    """About a message a second from a node with a deep store; what it measures now waits behind."""
    broker.stop()
    with on_flash(broker.port, BEGIN, offline(70) + FOREVER, window_s=10) as board:
        board.line("made")
    broker.start()
    life = """
    import utime
    client = node.uplink._client
    publish = client.publish
    async def timed(topic, *message, **more):
        if not topic.endswith("/status"):
            print("published", utime.ticks_ms())  # when it left: what the broker and we are late is not the node's
        await publish(topic, *message, **more)
    client.publish = timed
"""
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + HOUR, life + FOREVER) as board:
        packs = sum(len(message) for message in islice(messages(gateway), 4))
        moments = [int(board.line("published")) for _ in range(4)]
    waits = [after - before for before, after in pairwise(moments)]
    assert min(waits) >= 500, waits
    assert packs > 20, "one by one"


def test_a_planned_restart_keeps_what_is_in_ram(broker: Mosquitto, on_flash: Switch) -> None:
    """A broker that acknowledges nothing has had it all: it goes again, in order, from the next boot."""
    life = f"""
    from node import outbox
    outbox._KEEP_MS = 1 << 20
{CONNECTED}
    last = node.outbox.seq + 4
    while node.outbox.seq < last:
        await asyncio.sleep_ms(100)
    print("fresh", len(node.outbox._fresh), node.outbox.seq)
    await node.restart("test")
"""
    with Listener() as silent, on_flash(silent.port, BEGIN, life) as board:
        birth_of_a_connection(silent.accept())
        fresh, made = (int(word) for word in board.line("fresh").split())
        assert fresh >= 4
        assert board.ended() == RESET
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + HOUR, cause=HARD):
        assert gateway.birth()["reset_cause"] == "restart"
        sent = messages(gateway)
        again: list[Pack] = []
        while len(again) < made:
            again += next(sent)
    assert keys(again)[:made] == [(1, n) for n in range(made)]


def test_a_failing_supply_is_told_and_costs_nothing(broker: Mosquitto, on_flash: Switch) -> None:
    """What is in RAM is on flash within the moment that is left; a spike on the line is none."""
    life = (
        CONNECTED
        + """
    from node import outbox
    outbox._KEEP_MS = 1 << 28
    pin = hardware.line(board.POWER_FAIL)
    node.outbox.disconnected()  # nothing can be acknowledged any more
    node.outbox.online = True
    node.outbox.next = lambda merge=False: None
    pin.drive(0)
    pin.drive(1)
    await asyncio.sleep_ms(500)
    node.send("telemetry", [("flow", "l/h", 60.5)], BEGIN)
    print("spike", node.outbox._store.packs, len(node.outbox._fresh))
    pin.drive(0)
    await asyncio.sleep_ms(20)
    print("failing", node.outbox._store.packs, len(node.outbox._fresh))
""".replace("BEGIN", str(BEGIN))
    )
    with on_flash(broker.port, BEGIN + 3, life + FOREVER, power_fail=True, window_s=3600) as board:
        assert board.line("spike") == "0 1"
        assert board.line("failing") == "2 0"
        board.kill()
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + HOUR):
        (flow,), (failing,) = next(messages(gateway)), next(messages(gateway))
    assert (flow.stream, flow.boot, flow.readings[0].value) == ("telemetry", 1, 60.5)
    assert (failing.stream, failing.boot) == ("event", 1)
    assert [(each.quantity, each.value) for each in failing.readings] == [("power_fail", 1)]
    assert BEGIN <= failing.time < BEGIN + HOUR


def test_a_clock_set_back_begins_a_new_boot(broker: Mosquitto, on_flash: Switch) -> None:
    """By more than it can wait for; by less it waits, and no window ends twice at the same time."""
    with Gateway(broker.port) as gateway:
        with on_flash(broker.port, window_s=15) as board:
            gateway.birth()
            packs = gateway.packs("telemetry", 1)
            times = [next(packs).time, next(packs).time]
            assert gateway.ask("little", "time", offset_ms=-40_000)["ok"]
            times += [next(packs).time for _ in range(5)]
            assert times == sorted(set(times))
            before = gateway.ask("now", "time")["unix_ms"]
            answer = gateway.ask("much", "time", offset_ms=-10 * 3_600_000)
            assert answer["ok"]
            assert answer["unix_ms"] < before - 9 * 3_600_000, "an hour is 12 s of ours"
            assert board.ended() == RESET
        late = [pack.time for heard in gateway.unheard("telemetry") for pack in split(heard)]
        assert [*times, *late] == sorted({*times, *late})
        with on_flash(broker.port, BEGIN - 10 * HOUR, cause=HARD, window_s=15):
            birth = gateway.birth()
            assert (birth["boot"], birth["reset_cause"]) == (2, "restart")
            first = next(gateway.packs("telemetry", 2))
            assert BEGIN - 10 * HOUR < first.time < times[0]


@pytest.mark.parametrize(
    ("name", "hang"),
    [
        ("windows", "node.sensor.close_window = None"),
        (
            "uplink",
            "node.watchdog._limits['uplink'] = 300_000\n"
            "    node.uplink._client.publish = hang\n"
            "    node.uplink._client.give_up(OSError('test'))",
        ),
    ],
)
def test_a_node_that_comes_no_further_begins_anew(broker: Mosquitto, on_flash: Switch, name: str, hang: str) -> None:
    """It runs, and could feed its watchdog, but it does not measure, or does not send, any more."""
    life = f"""
    import machine
    from node import node as module
    async def hang(*arguments, **more):
        await asyncio.sleep_ms(1 << 40)
    module._KEEP_MS = 20  # of the wire, which is not as fast as the board
{CONNECTED}
    await asyncio.sleep_ms(600_000)
    machine.WDT(timeout=300_000)
    print("alive")
    {hang}
"""
    with on_flash(broker.port, BEGIN, life + FOREVER) as board:
        board.line("alive")
        while "watchdog: no progress" not in (line := board.line("")):
            pass
        assert line.endswith(f"no progress: {name}")
        assert board.ended() == 80 + WATCHDOG
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN + HOUR, cause=WATCHDOG):
        assert gateway.birth()["reset_cause"] == "watchdog"


def test_what_is_wanted_and_does_not_work_is_left_out(broker: Mosquitto, on_flash: Switch) -> None:
    """It was taken by another firmware, or its file is spoilt: the board's own configuration holds."""
    for n, text in enumerate(('{"window_s": 0}', '{"sensors": {"reeds": 7}, "window_s": 30}', '{"window_', "[]", "")):
        life = (
            f"""
    with open("wanted.json", "w") as f:
        f.write({text!r})
    print("wrote")
"""
            + FOREVER
        )
        with on_flash(broker.port, BEGIN + 2 * n * HOUR, life, window_s=20) as board:
            board.line("wrote")
        life = "    print('window', node.config['window_s'], node.config['sensors'])\n" + FOREVER
        with on_flash(broker.port, BEGIN + (2 * n + 1) * HOUR, life, window_s=20) as board:
            assert board.line("window") == "20 {}"
        life = "    import os\n    os.remove('wanted.json')\n    print('gone')\n" + FOREVER
        with on_flash(broker.port, BEGIN + (2 * n + 1) * HOUR, life) as board:
            board.line("gone")


def test_a_wanted_configuration_that_crashes_ends_in_a_safe_boot(broker: Mosquitto, on_flash: Switch) -> None:
    """Nothing can tell before that it will: three crashes later the node is there without it, and takes another."""
    crash = (
        """
    import machine
    if node.config["window_s"] == 33:
        machine.reset()
"""
        + CONNECTED
        + "    print('window', node.config['window_s'])\n"
    )
    with Gateway(broker.port) as gateway:
        gateway.want(window_s=33)
        with on_flash(broker.port, BEGIN, crash + FOREVER) as board:
            assert board.ended() == RESET, "taken"
        for n in (1, 2, 3):
            with on_flash(broker.port, BEGIN + n * HOUR, crash, HARD) as board:
                assert board.ended() == RESET, "crashed"
        with on_flash(broker.port, BEGIN + 4 * HOUR, crash + FOREVER, HARD) as board:
            assert board.line("window") == "60"
            while "safe" not in (birth := gateway.birth()):
                pass
            assert birth["boot"] == 5
            gateway.want(window_s=20)
            assert board.ended() == RESET

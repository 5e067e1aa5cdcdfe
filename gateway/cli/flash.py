"""`ganglion flash`: a board on a cable becomes a node that reports."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from rich.console import Console
from rich.status import Status as Spinner

from gateway.board.errors import FlashError, PortError, SettingsError
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gateway.config import Mqtt, load
from gateway.errors import GanglionError
from gateway.secret import secret

FIRMWARE: Final = Path(__file__).resolve().parents[2] / "firmware"
_WAIT_S: Final = 90.0
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")

KindName = Literal["traffic", "water", "air"]
BoardName = Literal["esp32-devkit", "esp32-s3", "esp32-c3"]


def flash(
    *,
    kind: Annotated[KindName, typer.Option(help="What it measures.")],
    site: Annotated[str, typer.Option(help="The site that it belongs to.")],
    node: Annotated[str, typer.Option(help="Its name, of a-z, 0-9 and -.")],
    port: Annotated[str, typer.Option(help="The serial port, such as /dev/ttyUSB0.", metavar="PORT")] = "",
    board: Annotated[BoardName | None, typer.Option(help="Which board; by its chip if not given.")] = None,
    image: Annotated[
        Path | None, typer.Option(help="MicroPython to write first; without it what is there stays.", metavar="FILE")
    ] = None,
    image_sha256: Annotated[str, typer.Option(help="Refuse an image with another hash.", metavar="HEX")] = "",
    erase: Annotated[bool, typer.Option("--erase", help="Erase all first: files, meter register, boot count.")] = False,
    wifi_ssid: Annotated[str, typer.Option(help="The network to join.", metavar="NAME")] = "",
    wifi_key_env: Annotated[str, typer.Option(help="Environment variable with its password.", metavar="NAME")] = "",
    broker: Annotated[
        str, typer.Option(help="The broker as the node sees it: mqtt://HOST:PORT or mqtts://...", metavar="URL")
    ] = "",
    user: Annotated[str, typer.Option(help="Its user name at the broker.")] = "",
    password_env: Annotated[str, typer.Option(help="Environment variable with the password.", metavar="NAME")] = "",
    ca: Annotated[Path | None, typer.Option(help="Certificate of the authority, PEM or DER.", metavar="FILE")] = None,
    cert: Annotated[Path | None, typer.Option(help="The node's certificate.", metavar="FILE")] = None,
    key: Annotated[Path | None, typer.Option(help="The node's private key.", metavar="FILE")] = None,
    issuer: Annotated[
        Path | None, typer.Option(help="Certificate of who may renew it, PEM or DER.", metavar="FILE")
    ] = None,
    pki: Annotated[
        Path | None,
        typer.Option(help="Folder of the authority: the node's identity from there, made if missing.", metavar="DIR"),
    ] = None,
    enrol: Annotated[
        str, typer.Option(help="Where the board gets its certificate by itself: https://HOST:PORT", metavar="URL")
    ] = "",
    token_env: Annotated[
        str, typer.Option(help="Environment variable with the token, of `ganglion pki token`.", metavar="NAME")
    ] = "",
    update_key: Annotated[
        Path | None, typer.Option(help="Public key for updates, of `ganglion update keygen`.", metavar="FILE")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, such as litres_per_pulse=10.", metavar="KEY=VALUE")
    ] = None,
    source: Annotated[
        Path, typer.Option(help="The folder of the firmware.", metavar="DIR", show_default="this project's")
    ] = FIRMWARE,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for its report; 0 does not.", metavar="SECONDS")
    ] = _WAIT_S,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all that needs no board, and end.")] = False,
) -> None:
    """Put MicroPython, the firmware and an identity on a board, and wait until it reports at the broker.

    What was written is kept when a step fails: give the command again, and it goes on.

    Example: ganglion flash --port /dev/ttyUSB0 --image ESP32_GENERIC.bin --kind water --site riverside
    --node water-0003 --wifi-ssid cabinet --wifi-key-env WIFI_KEY --broker mqtt://192.168.1.10 --set litres_per_pulse=10
    """
    # The other commands start faster without these.
    from gateway.board import flasher, identity, settings

    view = View(quiet=json)
    try:
        tls, extra = _identity(ca, cert, key, issuer, pki, enrol, token_env)
        gateway = _gateway(config)
        mqtt = settings.mqtt_of(broker or _broker_of(gateway), user, secret(password_env), tls)
        wanted: dict[str, Any] = {"kind": kind, "site": site, "node": node, "mqtt": mqtt}
        if wifi_ssid:
            wanted["wifi"] = {"ssid": wifi_ssid, "key": secret(wifi_key_env) or None}
        settings.apply(wanted, assignments or [])
        if update_key:
            extra[identity.UPDATE_KEY] = identity.load_update_key(update_key)
        order = flasher.Order(
            port=port,
            board=board or "",
            source=source,
            config=wanted,
            extra=extra,
            image=image,
            image_sha256=image_sha256,
            erase=erase,
            wait_s=wait,
            listen=gateway or Mqtt(mqtt["host"], mqtt["port"], username=user, password_env=password_env),
        )
        if erase and not image:
            raise SettingsError("--erase takes MicroPython away too: give an image with --image")
        prepared = flasher.prepare(order, view.begin)
        if dry_run:
            view.say(_plan(wanted, prepared.files, extra))
            return
        if not port:
            raise PortError(_name_one())
        if pki:  # not before all that was given is known to be good: what is made there stays
            order = msgspec.structs.replace(order, extra=extra | identity.of_authority(pki, site, node))
        outcome = asyncio.run(flasher.flash(order, prepared, view.begin))
    except GanglionError as error:
        _fail(error, view.step, json)
    if json:
        typer.echo(msgspec.json.encode(outcome).decode())
    else:
        reports = f"reports, boot {outcome.boot}" if outcome.boot is not None else "starts"
        view.say(f"{site}/{node} {reports}. What it measures: ganglion tail --site {site} --node {node}")


def _identity(
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    issuer: Path | None,
    pki: Path | None,
    enrol: str,
    token_env: str,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(the table `mqtt.tls`, {path on the board: content}); of an authority's folder the content comes later."""
    from gateway.board import identity

    given = [("--pki", pki), ("--enrol", enrol), ("--cert", cert or key or issuer)]
    ways = [name for name, value in given if value]
    if len(ways) > 1:
        raise SettingsError(f"{' and '.join(ways)} exclude each other: an identity comes from one place")
    if bool(enrol) != bool(token_env):
        raise SettingsError("--enrol and --token-env belong together: where to ask, and with what")
    if pki:
        if ca:
            raise SettingsError("--pki and --ca exclude each other: the authority is that of the folder")
        return dict(identity.PATHS), dict.fromkeys(identity.PATHS.values(), b"")
    if enrol:
        table: dict[str, Any] = {**identity.PATHS, "enrol": {"url": enrol, "token": secret(token_env)}}
        return table, {identity.PATHS["ca"]: identity.authority_of(ca)}
    files = identity.load(ca, cert, key, issuer)
    return {name: path for name, (path, _) in files.items()}, dict(files.values())


def _fail(error: GanglionError, step: str, json: bool) -> None:
    """One sentence on standard error, and the exit code that goes with it."""
    code = error.code if isinstance(error, FlashError) else 1
    if json:
        typer.echo(msgspec.json.encode({"error": str(error), "step": step, "code": code}).decode())
    typer.echo(f"ganglion: {error}", err=True)
    raise typer.Exit(code)


def _gateway(config: Path) -> Mqtt | None:
    """How this machine logs in at the broker, where a configuration says so."""
    return load(config).mqtt if config.exists() or config != DEFAULT_CONFIG else None


def _broker_of(gateway: Mqtt | None) -> str:
    if gateway is None or gateway.host in _LOCAL:
        raise SettingsError("--broker is missing: give the broker's address as the node sees it, mqtt://HOST:PORT")
    return f"{'mqtts' if gateway.ca else 'mqtt'}://{gateway.host}:{gateway.port}"


def _name_one() -> str:
    from gateway.board.port import candidates

    found = candidates()
    if not found:
        return (
            "--port is missing, and this machine has no serial port: plug the board in, with a cable that carries data"
        )
    return "--port is missing; there are:\n  " + "\n  ".join(found)


def _plan(config: dict[str, Any], files: dict[str, bytes], extra: dict[str, bytes]) -> str:
    shown = msgspec.json.decode(msgspec.json.encode(config))
    tls = shown["mqtt"].get("tls", {})
    for table, name in ((shown.get("wifi", {}), "key"), (shown["mqtt"], "password"), (tls.get("enrol", {}), "token")):
        if table.get(name):
            table[name] = "..."
    names = ", ".join(["main.py", "config.json", *extra])
    return (
        f"nothing was written. It would be {len(files)} compiled files and {names}\n"
        f"{msgspec.json.encode(shown).decode()}"
    )


class View:
    """Each step on a line of its own, with what it is at while it lasts. On standard error when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=quiet, highlight=False, markup=False, emoji=False)
        if not self._console.is_terminal:
            self._console.width = 10_000
        self.step = ""
        """The step under way, or the last one."""

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def begin(self, name: str) -> Iterator["_Step"]:
        self.step = name
        with self._console.status(name) as spinner:
            step = _Step(name, spinner)
            try:
                yield step
            except BaseException:
                self._console.print(f"  failed  {name}", style="bold red")
                raise
        self._console.print(f"  ok      {name:<9} {step.result}")


class _Step:
    def __init__(self, name: str, spinner: Spinner) -> None:
        self._name, self._spinner = name, spinner
        self.result = ""

    def part(self, share: float) -> None:
        self._spinner.update(f"{self._name}  {share:.0%}")

    def tell(self, text: str) -> None:
        self._spinner.update(f"{self._name}  the node says: {text}")

    def done(self, text: str) -> None:
        self.result = text

"""The last step: a node that was just put on a board reports at the broker, or its console says why it does not."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import aiomqtt

from gateway.board.errors import NotReported
from gateway.board.port import Console
from gateway.config import Mqtt
from gateway.errors import Refused
from gateway.ingest.decode import decode_status
from gateway.records import Status
from gateway.steer.link import connect

_TELL_S: Final = 0.5

_WIFI: Final = {
    "200": "the network is too weak here (it was lost)",
    "201": "no network of that name is in reach (2.4 GHz only)",
    "202": "the password is wrong, or the network is weak",
    "203": "the access point refused",
    "204": "the password is wrong, or the network is weak",
}


class _Sign(NamedTuple):
    pattern: str
    meaning: str
    """With the groups of the pattern."""
    final: bool = False
    """Whether it is no use to wait on."""


_SIGNS: Final = (
    _Sign(r"ConfigError: (.*)", "the firmware refuses its configuration: {0}", final=True),
    _Sign(r"broker refused: (.*)", "the broker refused the node: {0}. See --user and --password-env", final=True),
    _Sign(
        r"enrolment refused: (.*)",
        "the gateway gives the board no certificate: {0}. See --enrol and --token-env",
        final=True,
    ),
    _Sign(
        r"no address from (.*), status (\d+)",
        "the board did not join the Wi-Fi {0}: {wifi}. See --wifi-ssid and --wifi-key-env",
    ),
    _Sign(r"(MemoryError.*)", "the board's memory does not suffice: {0}"),
    _Sign(
        "certificate Common Name",
        "who answers has a certificate of another name: --broker and --enrol must name the host as it does",
    ),
    _Sign(
        r"mqtt: no connection: (.*)",
        "the board is in the network, but has no connection to the broker: {0}. "
        "Is --broker the address that the node sees, and does no firewall stand between?",
    ),
    _Sign("invalid header", "there is no MicroPython on the board: give one with --image"),
    _Sign(r"(\w+Error: .*)", "the firmware ended with {0}"),
)
"""What a node's console says, and what it means; the first that is found counts."""


def find_fault(lines: Iterable[str], *, final: bool = False) -> str:
    """What the newest lines of a console mean, or empty; with `final` only what waiting does not mend."""
    recent = list(lines)
    for sign in _SIGNS:
        for line in reversed(recent):
            if (sign.final or not final) and (match := re.search(sign.pattern, line)):
                groups = match.groups()
                wifi = _WIFI.get(groups[-1], f"no address came (status {groups[-1]})") if groups else ""
                return sign.meaning.format(*groups, wifi=wifi)
    return ""


def diagnose(lines: Iterable[str]) -> str:
    """Why a node did not report, as far as the newest lines of its console tell."""
    recent = list(lines)
    if not recent:
        return "its console is silent: press its EN button and see whether it reports then"
    return find_fault(recent) or f"its console says nothing of a fault; the last was: {recent[-1]}"


class Birth:
    """Hears a node's status from the beginning of the context on."""

    def __init__(self, mqtt: Mqtt, site: str, node: str) -> None:
        self._mqtt = mqtt
        self._topic = f"ganglion/v1/{site}/{node}/status"
        self._client = connect(mqtt)

    async def __aenter__(self) -> "Birth":
        """Raises NotReported when this machine cannot listen at the broker."""
        try:
            await self._client.__aenter__()
            await self._client.subscribe(self._topic, 1)
        except (aiomqtt.MqttError, OSError) as error:
            raise NotReported(
                f"{self._where} cannot be listened to from this machine: {error}. "
                "Start it, say with --config how this machine logs in there, or give --wait 0"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)

    async def wait(self, seconds: float, console: Console, tell: Callable[[str], None]) -> Status:
        """The node's next birth. `tell` hears what the console says meanwhile.

        What the broker has kept of earlier is not taken: it is of another boot. Raises NotReported that says why.
        """
        birth = asyncio.create_task(self._next())
        chatter = asyncio.create_task(self._chatter(console, tell))
        try:
            await asyncio.wait({birth, chatter}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if birth.done():
                return birth.result()
        except aiomqtt.MqttError as error:
            raise NotReported(f"all is written, but {self._where} went away: {error}") from error
        finally:
            birth.cancel()
            chatter.cancel()
        raise NotReported(
            f"all is written, but the node did not report at {self._where} within {seconds:g} s: "
            f"{diagnose(console.lines)}"
        )

    async def _next(self) -> Status:
        async for message in self._client.messages:
            if message.retain:
                continue
            try:
                status = decode_status(bytes(message.payload))
            except Refused:
                continue
            if status.online:
                return status
        raise aiomqtt.MqttError("the connection ended")

    async def _chatter(self, console: Console, tell: Callable[[str], None]) -> None:
        """Until there is no use in waiting."""
        last = ""
        while not find_fault(console.lines, final=True):
            if console.lines and (line := console.lines[-1]) != last:
                last = line
                tell(line)
            await asyncio.sleep(_TELL_S)

    @property
    def _where(self) -> str:
        return f"the broker at {self._mqtt.host}:{self._mqtt.port}"

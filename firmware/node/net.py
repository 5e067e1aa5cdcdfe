# Wi-Fi: join, and stay joined. The radio reconnects by itself; we only begin, watch, and begin anew when it gave up.

import asyncio

import network
from micropython import const

try:
    from time import wire_ms, wire_sleep_ms  # an emulated board may run faster than life; its broker never does
except ImportError:
    wire_sleep_ms = asyncio.sleep_ms

    def wire_ms(ms):
        return ms


_JOIN_MS = const(20_000)
_POLL_MS = const(50)


class Wifi:
    def __init__(self, ssid, key):
        self._ssid, self._key = ssid, key
        self._wlan = network.WLAN(network.STA_IF)

    async def join(self):
        """Return when the board has an address. Raises OSError when that takes too long."""
        wlan = self._wlan
        if wlan.isconnected():
            return
        wlan.active(True)
        # A half-open attempt of the radio's own would make `connect` raise: start from idle.
        wlan.disconnect()
        wlan.connect(self._ssid, self._key)
        waited = 0
        while not wlan.isconnected():
            if waited >= _JOIN_MS:
                raise OSError(110, "no address from %s, status %d" % (self._ssid, wlan.status()))
            await wire_sleep_ms(_POLL_MS)
            waited += _POLL_MS

    def rssi(self):
        return self._wlan.status("rssi") if self._wlan.isconnected() else None


def jittered(ms):
    """A wait of half to one and a half times `ms`, so that a city of nodes does not come back in one second."""
    from random import randint

    return randint(ms // 2, ms + ms // 2)

# `network` as on the ESP32: a station that needs its time to get an address. Sockets are the host's own.

from time import ticks_diff, ticks_ms

import utime
from world import world

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_BEACON_TIMEOUT = 200
STAT_HANDSHAKE_TIMEOUT = 204

_JOIN_MS = 1200  # association, four-way handshake and DHCP in a quiet network


class WLAN:
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("this board is a station; it has no access point")
        self._active = False
        self._since = None

    def active(self, wanted=None):
        if wanted is not None:
            self._active = bool(wanted)
            if not wanted:
                self._since = None
        return self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._active:
            raise OSError("Wifi Not Started")
        if self._since is None:
            self._since = ticks_ms()
            self._since_real = utime.ticks_ms()

    def disconnect(self):
        self._since = None

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, what=None):
        if what == "rssi":
            return -61 if self._since is not None and world.link_up else -127
        if what is not None:
            raise ValueError("unknown status parameter")
        if self._since is None:
            return STAT_IDLE
        if not world.link_up:
            return STAT_NO_AP_FOUND
        # Whichever time goes faster: a board whose city stands still still finds its network.
        took = max(ticks_diff(ticks_ms(), self._since), utime.ticks_diff(utime.ticks_ms(), self._since_real))
        return STAT_GOT_IP if took >= _JOIN_MS else STAT_CONNECTING

    def ifconfig(self):
        return ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def config(self, *args, **settings):
        if args == ("mac",):
            return b"\x02\x00\x00\x00\x00\x01"
        return None


def hostname(name=None):
    return name


def country(code=None):
    return code

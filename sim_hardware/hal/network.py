# `network` as on the ESP32 (ports/esp32/network_wlan.c): a station that needs its time to get an address. Sockets are
# the host's own. Where it differs: docs/emulation.md.
#
# `world.link_up` is the access point, and `world.key_refused` whether it wants another key. What the radio does of its
# own is worked out when it is asked.

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

_LEFT = 8  # WIFI_REASON_ASSOC_LEAVE: the station itself went
_JOIN_MS = 1200  # association, four-way handshake and DHCP in a quiet network
_SCAN_MS = 2400  # 13 channels, for an access point that is not there
_REFUSED_MS = 3000  # the handshake, repeated, with a wrong key
_BEACONS_MS = 6000  # without a beacon until the station gives up (esp_wifi_set_inactive_time)


class WLAN:
    """There is one station, whoever asks for it. It connects again by itself, for ever unless `reconnects` is set."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    _active = _connected = _wanted = False
    _reason = 0  # of the last disconnection
    _awaited = 0  # of the next one, or 0 for a connection: how the attempt under way will end
    _most = 0  # attempts; 0 for ever
    _attempts = 0
    _ssid = ""
    _only = None

    def __new__(cls, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("this board is a station; it has no access point")
        if cls._only is None:
            cls._only = object.__new__(cls)
        return cls._only

    def __init__(self, interface=STA_IF):
        pass

    def active(self, wanted=None):
        if wanted is not None:
            if not wanted and self._active:
                self._leave()
            self._active = bool(wanted)
        return self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        self._started()
        self._look()
        if self._joining():
            raise OSError("Wifi Internal Error")
        if ssid is not None:
            self._ssid = ssid
        self._connected, self._wanted, self._attempts = False, True, 0
        self._begin()

    def disconnect(self):
        self._started()
        self._leave()

    def _started(self):
        if not self._active:
            raise OSError("Wifi Not Started")

    def _leave(self):
        if self._wanted:
            self._reason = _LEFT
        self._wanted = self._connected = False

    def _begin(self):
        """What is awaited begins now: an attempt, or the silence of an access point that is gone."""
        self._since = ticks_ms()
        self._since_real = utime.ticks_ms()

    def _passed(self):
        # Whichever time goes faster: a board whose city stands still still finds its network.
        return max(ticks_diff(ticks_ms(), self._since), utime.ticks_diff(utime.ticks_ms(), self._since_real))

    def _joining(self):
        return self._wanted and not self._connected and not (self._most and self._attempts >= self._most)

    def _fail(self, reason):
        self._connected, self._reason = False, reason
        self._attempts += 1
        self._begin()

    def _look(self):
        if self._connected:
            if world.link_up:
                self._begin()  # a beacon was heard
            elif self._passed() >= _BEACONS_MS:
                self._fail(STAT_BEACON_TIMEOUT)
        elif self._joining():
            reason, takes = 0, _JOIN_MS
            if not world.link_up:
                reason, takes = STAT_NO_AP_FOUND, _SCAN_MS
            elif getattr(world, "key_refused", False):
                reason, takes = STAT_WRONG_PASSWORD, _REFUSED_MS
            if reason != self._awaited:
                self._awaited = reason
                self._begin()
            elif self._passed() < takes:
                return
            elif reason:
                self._fail(reason)
            else:
                self._connected, self._reason, self._attempts = True, 0, 0
                self._begin()

    def isconnected(self):
        self._look()
        return self._connected

    def status(self, what=None):
        self._look()
        if what == "rssi":
            if not self._connected:
                raise OSError("Wifi Not Connected")
            return -61
        if what is not None:
            raise ValueError("unknown status param")
        if self._connected:
            return STAT_GOT_IP
        if self._reason in (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD):
            return self._reason  # also while it tries again
        if self._joining():
            return STAT_CONNECTING
        return STAT_IDLE if self._reason in (0, _LEFT) else self._reason

    def ifconfig(self):
        here, mask = self.ipconfig("addr4")
        return here, mask, here, here

    def ipconfig(self, what):
        up = self.isconnected()
        address = "127.0.0.1" if up else "0.0.0.0"
        known = {"addr4": (address, "255.0.0.0" if up else "0.0.0.0"), "gw4": address, "dhcp4": True, "has_dhcp4": up}
        if what not in known:
            raise ValueError("unknown config param")
        return known[what]

    def config(self, what=None, **settings):
        if what is None:
            if "reconnects" in settings:
                # -1 is for ever, 0 none: attempts are one more than that
                self._most = settings["reconnects"] + 1
            return None
        if what == "mac":
            from machine import unique_id

            return unique_id()
        if what == "reconnects":
            return self._most - 1
        if what in ("ssid", "essid"):
            return self._ssid
        raise ValueError("unknown config param")


_names = {"hostname": "mpy-esp32", "country": "XX"}


def _name(kind, new):
    if new is None:
        return _names[kind]
    _names[kind] = new


def hostname(name=None):
    return _name("hostname", name)


def country(code=None):
    return _name("country", code)

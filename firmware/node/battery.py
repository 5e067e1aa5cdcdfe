# A node that lives on a battery: its windows, its schedule, and what it needs to know over a sleep. docs/battery.md
# tells how it lives.
#
# The board sleeps, and wakes by the meter's contacts (node/wake.py), at a window's end (here), and for a report
# (node/report.py). These wakes are one boot: its number and its sequence go on.

import struct
from binascii import crc32

import esp32
from micropython import const

from node import wake
from node.pack import body
from node.register import Register
from node.scratch import CLOCK, SLEEP
from node.store import Store

_TELEMETRY = const(0)  # the stream, as node/outbox.py numbers it
_FROST_CEL = const(3)  # as sensors/meter.py has it
_FROST = const(4)
_LEARN_S = const(3_600)  # a clock whose drift is not known yet is asked again after so long
_RETRY_S = const(3_600)
_LONGEST_RETRY_S = const(21_600)


def resume(config, board, settings, scratch, cause):
    """What to report with, at a boot or when a report is due. Else the board sleeps again, and this does not return.

    `settings` are those of the sensors, complete.
    """
    kept = scratch.read(SLEEP) if cause == "deep_sleep" else None
    if not kept:
        return _begin(board, settings)
    state = wake.Sleep(kept)
    now = state.now_ms() // 1000
    register = Register(scratch, esp32.NVS("meter"))
    if now >= state.end or register.forward >= state.burst:
        _end_window(state, config, board, settings, register, scratch, now)
    if not state.flags & wake.WANTED and now < state.report:
        wake.sleep(scratch, state, register.contacts[1])
    return state


def _begin(board, settings):
    state = wake.Sleep()
    state.reed, state.litres = board.REED, settings["litres_per_pulse"]
    state.reed_b = board.REED_B if settings["reeds"] == 2 else wake.NONE
    state.tamper = board.TAMPER if settings["tamper"] else wake.NONE
    state.burst = wake.NEVER
    return state


def begin_window(state, config, volume, now):
    """The windows after this one end on whole multiples of their length."""
    length = config["battery"]["window_s"]
    state.began, state.end, state.volume = now, now - now % length + length, volume
    limit = config["battery"]["burst_l_h"]
    if limit is None or state.flags & wake.BURST:
        state.burst = wake.NEVER
    else:
        # The pulse with which the mean of the whole window is sure to be above the limit.
        state.burst = int((volume + limit * length / 3600) // state.litres) + 1


def end_window(state, config, found, now):
    """(its end in Unix s, its readings); the next one begins. `found` are the readings without the flow.

    A burst ends the window early. A window that is not of its length, because the node or its clock began within it,
    has no flow.
    """
    length, limit = config["battery"]["window_s"], config["battery"]["burst_l_h"]
    early = now < state.end
    ended = now if early else now - now % length
    volume = found[0][2]
    seconds, litres = ended - state.began, volume - state.volume
    flow = None
    if seconds > 0 and (early or length * 9 // 10 <= seconds <= length * 11 // 10):
        flow = round(litres * 3600 / seconds, 1)
    if early:
        state.flags |= wake.BURST
    elif limit is not None and flow is not None and flow <= limit:
        state.flags &= ~wake.BURST
    begin_window(state, config, volume, ended)
    readings = [each for each in found if each[0] not in ("flow", "flow_min")]
    return ended, readings + [("flow", "l/h", flow)]


def next_report(state, config, now):
    """Unix s. Each node has a moment of its own, so that a city does not report in one second."""
    period = config["battery"]["report_s"]
    if state.failures:
        return now + min(_RETRY_S << min(state.failures - 1, 8), _LONGEST_RETRY_S, period)
    own = crc32(config["node"].encode()) % period
    due = (now - own) // period * period + period + own
    return due if state.flags & wake.DRIFTS or not state.synced else min(due, now + _LEARN_S)


def _end_window(state, config, board, settings, register, scratch, now):
    """At a wake of its own, which loads no more than it needs."""
    found = [("volume", "l", register.forward * state.litres)]
    if settings["reeds"] == 2:
        found.append(("reverse_volume", "l", register.reverse * state.litres))
    if settings["temperature"]:
        found.append(("temperature", "Cel", _temperature(state, board)))
    if now < state.end:
        state.flags |= wake.WANTED
    ended, readings = end_window(state, config, found, now)
    if config["calibration"]:
        from node import correction

        readings = correction.apply(readings, config["calibration"])
    era = struct.unpack("<I", (scratch.read(CLOCK) or bytes(4))[:4])[0]
    _put(state, config, era, ended, body(readings).encode())
    try:
        register.checkpoint()
    except OSError:
        pass  # RTC memory has it, and the next window tries again


def _put(state, config, era, ended, text):
    """To the outbox on flash. What that does not take is lost, and its number shows as a gap."""
    try:
        store = Store(max_bytes=config["outbox_kib"] * 1024)
        while store.full(len(text)):
            store.drop()
        store.append(state.boot, era, state.seq, ended, _TELEMETRY, text)
    except OSError:
        pass
    state.seq += 1


def _temperature(state, board):
    from time import sleep_ms

    from drivers import ds18b20

    try:
        thermometer = ds18b20.DS18B20(ds18b20.bus(board.ONEWIRE))
        thermometer.start()
        sleep_ms(ds18b20.CONVERT_MS)
        cel = thermometer.read()
    except (OSError, ValueError):
        return None
    if cel < -40:
        return None  # no pit is colder: a broken cable
    if cel <= _FROST_CEL and not wake.told(esp32.NVS("meter")) & _FROST:
        state.flags |= wake.WANTED
    return round(cel, 2)

"""The numbers of the energy model, each as a range with its source. None of them was measured by us on a board.

Sources:
- ESP32 Series Datasheet v5.3, table 4-2; ESP32-S3 Series Datasheet, table "Current Consumption in Low-Power Modes";
  ESP32-C3 Series Datasheet, tables 5-8 and 5-9. Typical values at 25 degrees of the bare chip.
- "boot": github.com/glenn20/upy-esp32-experiments, OptimisingMicropythonBootTime: MicroPython 1.19 on an ESP32-S3
  (FeatherS3) and an ESP32 module, by a current profiler on the 5 V side. The check of the image, which the stock images
  skip after a deep sleep since 1.20, is taken out.
- "radio": the same, ESPNowvsWifiEnergyUsage, on the ESP32.
- Linden's Handbook of Batteries, figure 14.17: a D-size bobbin cell at 25 degrees gives 17 Ah at 0.2 mA, 18.4 at 1 mA,
  19.0 at 4 mA, 13.5 at 20 mA and 7 at 35 mA.
"""

from typing import Final, Literal

from msgspec import Struct

Edge = Literal["low", "value", "high"]


class Figure(Struct, frozen=True):
    """A number that is not known exactly: what is reckoned with, and what it will hardly be below or above."""

    low: float
    value: float
    high: float
    source: str


class Chip(Struct, frozen=True):
    """Currents of the bare chip, charges of one boot."""

    sleep_ua: Figure
    """Deep sleep in which contacts and the clock can wake it."""
    light_ua: Figure
    """Light sleep."""
    run_ma: Figure
    """Running at 160 MHz, the radio off."""
    boot_mc: Figure
    """From deep sleep to the first line of main.py on the stock image, and into deep sleep again."""
    frozen_mc: Figure
    """The same to a frozen _boot.py, before the file system is mounted: needs an image of one's own."""
    ulp_ua: Figure | None
    """Deep sleep while the low-power coprocessor looks at a pin now and then; None: the chip has none."""
    sleeps: bool
    """Whether our firmware can live on a battery with it."""


class Battery(Struct, frozen=True):
    """One battery as it is sold."""

    mah: float
    usable: Figure
    """Share of the nominal capacity."""
    yearly: Figure
    """Share of the nominal capacity that it loses by itself in a year."""
    note: str


CHIPS: Final = {
    "esp32": Chip(
        sleep_ua=Figure(10, 10, 20, "datasheet: RTC timer + RTC memory 10 uA"),
        light_ua=Figure(800, 800, 2000, "datasheet: 0.8 mA; more with pins that leak"),
        run_ma=Figure(27, 50, 65, "datasheet: 27 to 44 mA at 160 MHz, two cores; boot: 65 mA with flash and board"),
        boot_mc=Figure(20, 27, 40, "boot: 3.3 mC on the ESP32, and 23.6 mC for mounting and main.py on the S3"),
        frozen_mc=Figure(2.3, 3.3, 5, "boot: 70 ms, 3.3 mC, of which 15 mA were the board's"),
        ulp_ua=Figure(100, 100, 150, "datasheet: 100 uA at 1 % duty, 150 uA always on"),
        sleeps=True,
    ),
    "esp32-s3": Chip(
        sleep_ua=Figure(7, 8, 12, "datasheet: 8 uA with RTC peripherals, 7 without; 8.2 uA measured by others"),
        light_ua=Figure(240, 240, 2000, "datasheet: 240 uA; up to 1.9 mA reported where the flash stays on"),
        run_ma=Figure(30, 50, 65, "boot: 63 mA in the mean of a boot, with flash and board"),
        boot_mc=Figure(20, 26.5, 40, "boot: 418 ms, 26.5 mC"),
        frozen_mc=Figure(1.8, 1.9, 4, "boot: 49 ms, 1.8 mC"),
        ulp_ua=Figure(18, 18, 170, "datasheet: 18 uA at 1 % duty, 170 uA always on"),
        sleeps=True,
    ),
    "esp32-c3": Chip(
        sleep_ua=Figure(5, 5, 10, "datasheet: RTC timer + RTC memory 5 uA; 7 uA measured by others"),
        light_ua=Figure(130, 130, 350, "datasheet: 130 uA; 350 uA measured by others"),
        run_ma=Figure(23, 28, 35, "datasheet: 23 to 28 mA at 160 MHz"),
        boot_mc=Figure(10, 12, 27, "reckoned: as long as the S3 (420 ms) at this chip's current"),
        frozen_mc=Figure(1.2, 1.4, 3.3, "reckoned: as long as the S3 (49 ms) at this chip's current"),
        ulp_ua=None,
        sleeps=False,
    ),
}

_BOBBIN: Final = "gives no Wi-Fi burst by itself, least of all when cold: a buffer capacitor or hybrid cell is needed"

BATTERIES: Final = {
    "er34615": Battery(
        19_000,
        Figure(0.6, 0.75, 0.9, "Linden: 17 to 19 Ah of 19 below 4 mA at 25 degrees; less when cold and with bursts"),
        Figure(0.01, 0.01, 0.02, "makers: below 1 % a year at 20 degrees"),
        _BOBBIN,
    ),
    "2xer34615": Battery(
        38_000,
        Figure(0.6, 0.75, 0.9, "as er34615"),
        Figure(0.01, 0.01, 0.02, "as er34615"),
        _BOBBIN,
    ),
    "er26500": Battery(
        8_500,
        Figure(0.55, 0.7, 0.9, "a known make (LS 26500) is sold as 7.7 Ah; for the rest as er34615"),
        Figure(0.01, 0.01, 0.02, "makers: below 1 % a year at 20 degrees"),
        _BOBBIN,
    ),
    "18650": Battery(
        2_600,
        Figure(0.6, 0.8, 0.9, "assumed: from full to 3.4 V behind a regulator; the rest is lost to cold and age"),
        Figure(0.1, 0.2, 0.4, "assumed: 1 to 3 % a month, with its protection circuit"),
        "gives the bursts; below 0 degrees it must not be charged",
    ),
}

# What our firmware does (firmware/node/wake.py, battery.py, report.py). Durations in s, charges in mC, currents in mA.
NAP_S: Final = 10.0
"""Running water is waited for so long in light sleep before the board goes into deep sleep again."""
WAKE_S: Final = Figure(0.05, 0.1, 0.3, "assumed: loading what counts, behind the boot")
LOOK_S: Final = Figure(0.04, 0.06, 0.15, "firmware: contacts rest after 30 ms; assumed: the rest")
WINDOW_S: Final = Figure(0.15, 0.3, 1, "assumed: configuration, register and outbox on flash")
LOAD_S: Final = Figure(0.7, 1.5, 4, "assumed: the whole firmware is loaded for a report")
JOIN_MC: Final = Figure(97, 201, 490, "radio: 97 mC with a fixed address, 201 with DHCP, at times 490")
SESSION_MC: Final = Figure(8, 8.4, 20, "radio: 8.4 mC for a session and one message without TLS")
HANDSHAKE_MC: Final = Figure(30, 100, 250, "assumed: one second of TLS at 100 mA; not measured on any board")
PACK_MC: Final = Figure(2, 10, 100, "assumed: a tenth of a second at 100 mA until a pack is acknowledged")
LISTEN_S: Final = Figure(3.3, 3.3, 6, "firmware: 3 s after the last word, 0.3 s for the radio to finish")
LISTEN_MA: Final = Figure(30, 60, 100, "datasheet: 95 to 100 mA receiving; less where the radio sleeps between beacons")
CLOSED: Final = Figure(0.1, 0.3, 1, "assumed share of the time in which a reed is closed; it may stop there for days")
SUPPLY_V: Final = 3.3
COUNTER_UA: Final = Figure(0.1, 1, 5, "assumed: a counter chip, or a small controller that sleeps")
QUIESCENT_UA: Final = 5.0
"""A regulator that sleeps well; a DevKit's takes thousands."""
PULL_UP_KOHM: Final = 45.0
"""The chip's own, which the firmware switches on."""

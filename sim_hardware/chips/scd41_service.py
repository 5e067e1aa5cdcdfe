"""Sensirion SCD41 as a workshop knows it: all that the datasheet has (SCD4x version 1.7, chapter 3) and firmware of the
field never asks for. Boards load scd41.py alone."""

from .scd41 import _COMMANDS, _DEFAULTS, _SETTINGS, SCD41

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ENABLED, _TARGET, _FIRST_H, _NEXT_H = 0x2313, 0x233F, 0x2340, 0x234B  # of the automatic self-calibration
_FACTORY = dict(_DEFAULTS)
_FACTORY.update({_TARGET: 400, _FIRST_H: 44, _NEXT_H: 156})
_PRESSURE = 0xE000  # is not kept in the memory
_OPERATED_MS = 180_000  # before a forced recalibration (3.8.1)
_FAILED = 0xFFFF
_WAKE_UP_MS = 30


_ALL = dict(_COMMANDS)
_ALL.update(
    {
        0x243A: (1, False),  # set_automatic_self_calibration_target
        _TARGET: (1, False),
        0x2445: (1, False),  # set_automatic_self_calibration_initial_period
        _FIRST_H: (1, False),
        0x244E: (1, False),  # set_automatic_self_calibration_standard_period
        _NEXT_H: (1, False),
        0x362F: (400, False),  # perform_forced_recalibration
        0x3615: (800, False),  # persist_settings
        0x3639: (10_000, False),  # perform_self_test
        0x3632: (1_200, False),  # perform_factory_reset
        0x202F: (1, False),  # get_sensor_variant
        0x36E0: (1, False),  # power_down
        0x36F6: (30, False),  # wake_up
    }
)
_SETTERS = dict(_SETTINGS)
_SETTERS.update({0x243A: _TARGET, 0x2445: _FIRST_H, 0x244E: _NEXT_H, 0x362F: 0x362F})


class ServicedSCD41(SCD41):
    """`broken` is what the self-test finds, 0 for nothing; `writes` counts those to the memory, which wears."""

    _commands = _ALL
    _setters = _SETTERS

    def __init__(
        self,
        clock_ms: "Callable[[], int]",
        environment: "Callable[[], tuple[float, float, float]]",
        serial: int = 0xF896_9F07_3BBE,
        seed: int = 1,
    ) -> None:
        super().__init__(clock_ms, environment, serial, seed)
        self.broken = self.writes = 0
        self._memory = dict(_FACTORY)
        self._asleep = False
        self._wait = _FIRST_H  # once only, whatever is switched off meanwhile (3.11)
        self.power_on()

    def power_on(self) -> None:
        """Its supply was gone: what was not persisted is forgotten; calibrations stay (3.10.1)."""
        self._load()
        self._busy_until = self._clock_ms() + _WAKE_UP_MS
        self._asleep = False

    def _load(self) -> None:
        self._settings = dict(self._memory)
        self._period, self._single = 0, ()
        self._operated = 0  # ms of the last operation
        self._lowest = 0
        self._since: int | None = None  # when the period of the automatic self-calibration began

    def write(self, data: bytes) -> None:
        """As the chip in the field; asleep it hears nothing but wake_up, which it never acknowledges (3.11.4)."""
        if self._asleep:
            if not self.dead and data == b"\x36\xf6":
                self._asleep = False
                self._busy_until = self._clock_ms() + _WAKE_UP_MS
            raise OSError(19)
        super().write(data)

    def _set(self, code: int, value: int) -> "tuple[int, ...]":
        if code == 0x362F:
            return (self._recalibrate(value),)
        if code == 0x2427:  # an altitude takes the place of a pressure: the standard atmosphere's (3.7.3)
            self._settings[_PRESSURE] = int(1013 * (1 - 2.25577e-5 * value) ** 5.25588 + 0.5)
        return super()._set(code, value)

    def _recalibrate(self, target: int) -> int:
        if self._operated < _OPERATED_MS:
            return _FAILED
        correction = target - self._words[0]
        self._correction += correction
        return 0x8000 + correction

    def _run(self, code: int, now: int) -> "tuple[int, ...]":
        if code == 0x3F86 and self._period:
            self._operated = now - self._started
        elif code == 0x3615:
            self._memory = dict(self._settings)
            self._memory[_PRESSURE] = _FACTORY[_PRESSURE]
            self.writes += 1
        elif code == 0x3632:
            self._memory = dict(_FACTORY)
            self._correction = 0
            self._wait = _FIRST_H
            self.writes += 1
            self._load()
        elif code == 0x3646:
            self._load()
        elif code == 0x3639:
            return (self.broken,)
        elif code == 0x202F:
            return (0x1440,)  # bits 15 to 12: 1, an SCD41
        elif code == 0x36E0:
            self._asleep = True
        elif code in (0x362F, 0x36F6):
            return ()
        return super()._run(code, now)

    def _measure(self, now: int) -> "tuple[int, ...]":
        """With the automatic self-calibration: the lowest of a period is taken for the target (3.8.2)."""
        words = super()._measure(now)
        if not self._settings[_ENABLED]:
            self._since = None
            return words
        if self._since is None:
            self._since, self._lowest = now, words[0]
            return words
        self._lowest = min(self._lowest, words[0])
        if now - self._since >= self._settings[self._wait] * 3_600_000:
            self._correction += self._settings[_TARGET] - self._lowest
            self._since, self._wait = None, _NEXT_H
        return words

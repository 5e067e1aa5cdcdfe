# What an air station has: its chips -> their means over the window, and their newest values.
#
# A chip that fails ends its own task with an error; the supervisor reports it and starts it again, and until then its
# readings are absent. The others go on.

from time import ticks_ms


class Station:
    def __init__(self, chips):
        self._chips = chips
        self.tasks = tuple([(chip.name, chip.run) for chip in chips])
        self.on_event = lambda readings: None

    @property
    def rejected(self):
        """How many readings of each chip were not taken since the boot, by the chip's name."""
        return {chip.name: chip.rejected() for chip in self._chips}

    def close_window(self, length_ms):
        self.sample()  # forgets newest values before their ticks wrap
        return [(each.name, each.unit, each.take(each.digits)) for chip in self._chips for each in chip.series]

    def sample(self):
        now = ticks_ms()
        found = []
        for chip in self._chips:
            for each in chip.series:
                value = each.newest(now)
                found.append((each.name, each.unit, value if value is None else round(value, each.digits)))
        return found

    def save(self):
        """There is nothing that must outlive the power."""

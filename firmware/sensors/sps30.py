# The SPS30 of an air station.

import asyncio

from drivers import sps30

from sensors.chip import Chip, particles

_PERIOD_MS = 1_000


class Sps30(Chip):
    def __init__(self, uart):
        super().__init__("sps30", sps30.SPS30(uart), particles(sps30.MOST))

    async def run(self):
        chip = self.driver
        for request in sps30.WAKE_UP:
            chip.send(request)
            await asyncio.sleep_ms(sps30.ANSWER_MS)
        chip.check()
        await asyncio.sleep_ms(sps30.WARM_UP_MS)
        chip.send(sps30.CLEAR)  # a fan that was slow to start is not a fan that fails
        while True:
            await asyncio.sleep_ms(_PERIOD_MS - sps30.ANSWER_MS)
            chip.ask()
            await asyncio.sleep_ms(sps30.ANSWER_MS)
            self.poll()

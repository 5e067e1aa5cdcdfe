# Keeps the node's tasks alive: one that dies is reported and started again, a little later each time.

import asyncio
from time import ticks_diff, ticks_ms

_FIRST_MS = 1_000
_LONGEST_MS = 60_000
_HEALTHY_MS = 600_000  # who has lived this long starts again with the shortest wait


async def keep(name, start, log):
    """Run the coroutine function `start` for ever. Returns only when it ends by itself."""
    wait = _FIRST_MS
    while True:
        began = ticks_ms()
        try:
            return await start()
        except Exception as error:  # noqa: BLE001 - the one place that catches everything: it reports and goes on
            log(name, "died: %r" % error)
        if ticks_diff(ticks_ms(), began) > _HEALTHY_MS:
            wait = _FIRST_MS
        await asyncio.sleep_ms(wait)
        wait = min(wait * 2, _LONGEST_MS)


async def run(tasks, log):
    """Run all (name, coroutine function) pairs until they end."""
    await asyncio.gather(*[keep(name, start, log) for name, start in tasks])

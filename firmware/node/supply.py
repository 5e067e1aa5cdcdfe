# For boards whose supply says that power is failing, while there is still charge for a second or so.

import asyncio

from machine import Pin


async def watch(node, number):
    """Tell of it; what is in RAM goes to flash while it still can. `number` is the pin that is pulled down then."""
    falling = asyncio.ThreadSafeFlag()
    pin = Pin(number, Pin.IN, Pin.PULL_UP)
    pin.irq(lambda _: falling.set(), Pin.IRQ_FALLING)
    while True:
        await falling.wait()
        if pin.value():
            continue  # a spike
        node.sensor.save()
        node.event([("power_fail", "", True)])
        if not node.to_flash():
            node.log("supply", "flash: %r" % node.outbox.trouble)

# Builds the one node that the board is configured to be, and runs it.

import gc

import machine
from micropython import const

_COLLECT_EVERY = const(16)  # so much of the heap, while the modules come: what stays of them then lies together


def build():
    """The node. What only the start needs is not in memory any more."""
    gc.threshold((gc.mem_free() + gc.mem_alloc()) // _COLLECT_EVERY)
    from node import setup

    node = setup.build()
    from node import later  # not sooner: a board on a battery most often sleeps again instead

    later.forget(later.START)
    return node


def main():
    node = None
    try:
        if machine.reset_cause() == machine.DEEPSLEEP_RESET:
            from node import wake

            wake.run()  # returns when there is more to do than to count
        import asyncio

        node = build()
        asyncio.run(node.run())
    except Exception as error:
        # The loader resets; the next boot tells of it.
        from node.crumbs import died
        from node.scratch import Scratch

        died(node.scratch if node else Scratch(), error)
        raise


if __name__ == "__main__":
    main()

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
    from node.later import forget  # not sooner: a board on a battery most often sleeps again instead

    forget(setup.START)
    return node


async def _live(nodes):
    # Built within the loop. What a start leaves on the stack can look like a pointer, and keeps what was forgotten:
    # there the tasks write over it, but beneath the loop it would lie for as long as the node lives.
    nodes.append(build())
    await nodes[0].run()


def main():
    nodes = []  # the one, once it is built
    try:
        if machine.reset_cause() == machine.DEEPSLEEP_RESET:
            from node import wake

            wake.run()  # returns when there is more to do than to count
        import asyncio

        asyncio.run(_live(nodes))
    except Exception as error:
        # The loader resets; the next boot tells of it.
        from node.crumbs import died
        from node.scratch import Scratch

        died(nodes[0].scratch if nodes else Scratch(), error)
        raise


if __name__ == "__main__":
    main()

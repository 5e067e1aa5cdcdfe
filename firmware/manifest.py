# What belongs on a board: frozen into an image by MicroPython's build, or packed and copied.

module("main.py")  # noqa: F821 - the manifest's own words
package("boards")  # noqa: F821
package("drivers")  # noqa: F821
package("node")  # noqa: F821
package("sensors")  # noqa: F821

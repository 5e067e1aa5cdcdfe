"""What goes wrong with updates."""

from gateway.errors import GanglionError


class UpdateError(GanglionError):
    """An update that cannot be made, signed or offered; the message says what to do."""

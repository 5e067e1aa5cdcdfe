"""What goes wrong with steering a node."""

from gateway.errors import GanglionError


class SteerError(GanglionError):
    """A configuration or a command that cannot be given to a node; the message says what to do."""

"""Who did what to this installation, in a log that shows when somebody has changed it."""

from gateway.audit.log import record

__all__ = ["record"]

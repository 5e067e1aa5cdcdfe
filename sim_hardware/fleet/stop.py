"""Ctrl-C and SIGTERM, noted instead of raised: nothing is torn in the middle, and no child is left."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Stop:
    """Whoever waits looks here. The first signal ends a run, the next its wait for what is under way.

    The third is raised as KeyboardInterrupt, wherever the program is. Enter it in the main thread.
    """

    def __init__(self) -> None:
        self.signals = 0

    def __enter__(self) -> Self:
        self._before = [(number, signal.signal(number, self._note)) for number in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1
        if self.signals > 2:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raises KeyboardInterrupt when a signal has come: for what is not worth ending in an orderly way."""
        if self.signals:
            raise KeyboardInterrupt

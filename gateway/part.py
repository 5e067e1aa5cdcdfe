"""What our processes are put together of."""

from typing import Protocol


class Part(Protocol):
    async def run(self) -> None:
        """Until cancelled."""

"""`python -m sim_hardware.bench`: a board to try `ganglion flash` on, when there is none at hand."""

import argparse
from pathlib import Path

from sim_hardware.bench.board import BLOCKS, FLASH_BYTES, Board
from sim_hardware.bench.rom import CHIPS


def main() -> None:
    """Say the port, and run until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m sim_hardware.bench", description=__doc__)
    parser.add_argument("folder", type=Path, help="keeps the board's flash")
    parser.add_argument("--chip", choices=CHIPS, default="esp32")
    parser.add_argument("--board", default="esp32-devkit", help="whose pins the chips hang on")
    parser.add_argument("--kind", choices=("traffic", "water", "air"), default="water", help="which chips it carries")
    parser.add_argument("--flash-bytes", type=int, default=FLASH_BYTES)
    parser.add_argument("--no-wifi", action="store_true", help="there is no network to join")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="size of its file system, in 4 KiB")
    given = parser.parse_args()
    board = Board(
        given.folder,
        chip=given.chip,
        kind=given.kind,
        board=given.board,
        flash_bytes=given.flash_bytes,
        wifi=not given.no_wifi,
        blocks=given.blocks,
    )
    print(board.port, flush=True)  # noqa: T201 - it is what a person needs
    board.serve()


if __name__ == "__main__":
    main()

"""Where the data are that are no part of the project."""

from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parents[3].parent / "shared" / "data"

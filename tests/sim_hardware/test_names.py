"""The names of all programs are known before a board begins: none that is loaded later needs room for many."""

import re
from pathlib import Path

from sim_hardware.fleet.image import build
from tests.micropython import run

COUNT = "micropython.qstr_info()"
PARTS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("node", "sensors", "drivers", "boards")
    for path in (Path(__file__).parents[2] / "firmware" / folder).glob("*.py")
    if path.stem != "__init__"
)


def test_what_is_loaded_later_needs_no_further_table(tmp_path: Path) -> None:
    """Every part of the firmware, after the emulation has learnt; without that one is needed in the middle."""
    image = build(tmp_path / "image")
    parts = "\n".join(f"import {part}" for part in PARTS)
    program = f"import sys, micropython\nsys.path.insert(0, {str(image)!r})\nimport flash, network, machine, names\n"
    for learnt in (True, False):
        learn = "names.learn()" if learnt else ""
        told = run(f"{program}\n{learn}\n{COUNT}\n{parts}\n{COUNT}", tmp_path, heap="1M")
        before, after = re.findall(r"n_pool=(\d+)", "\n".join(told))
        assert (before == after) is learnt, told


def test_what_is_no_compiled_module_is_refused(tmp_path: Path) -> None:
    """Rather than to learn nonsense."""
    (tmp_path / "broken.mpy").write_bytes(b"M\x05\x00\x1f\x00\x00")
    lines = run(
        "import names\ntry:\n    names.learn('.')\nexcept ValueError as error:\n    print(error)",
        tmp_path,
    )
    assert lines == ["not a .mpy file of version 6"]

"""Draws the rules of detection.md at work, each over a series made by hand and judged by the gateway's own detectors.

Run `python docs/pictures.py docs/images [NAME ...]` after a change to `gateway/detect/`. The same to the byte each
time.
"""

import sys
from pathlib import Path

from scenes import air, generic, health, traffic, water

SCENES = {**traffic.SCENES, **water.SCENES, **air.SCENES, **health.SCENES, **generic.SCENES}


def main(out: Path, names: list[str]) -> None:
    """Draw those of SCENES that are named into `out`; all of them by default. Raises ValueError where none is found."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same drawing from the same numbers: no ids by chance, no date; letters stay letters.
    mpl.rcParams.update({"svg.hashsalt": "rules", "svg.fonttype": "none", "path.simplify_threshold": 0.5})
    from matplotlib import pyplot as plt

    out.mkdir(parents=True, exist_ok=True)
    for name in names or SCENES:
        figure, axes = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
        SCENES[name](axes)
        axes.grid(alpha=0.3)
        axes.margins(x=0)
        axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
        figure.savefig(out / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python docs/pictures.py OUT_FOLDER [NAME ...]")
    main(Path(sys.argv[1]), sys.argv[2:])

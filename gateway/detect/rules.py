"""Which rules judge which nodes: the one table."""

from collections.abc import Mapping
from typing import Final

from gateway.detect.air.episode import AirEpisode
from gateway.detect.air.stuck import AirStuck
from gateway.detect.flags import tamper
from gateway.detect.site import Rules
from gateway.detect.water.backflow import Backflow
from gateway.detect.water.burst import Burst
from gateway.detect.water.frost import Frost
from gateway.detect.water.stopped import Stopped

RULES: Final[Mapping[str, Rules]] = {
    "traffic": Rules(node=(tamper,)),
    "water": Rules(node=(tamper, Burst, Backflow, Frost, Stopped)),
    "air": Rules(node=(tamper, AirStuck), site=(AirEpisode,)),
}
"""By measurement. `silent` is of all nodes of a site, whatever they measure: see gateway/detect/site.py."""

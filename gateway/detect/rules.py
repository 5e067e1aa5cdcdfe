"""Which rules judge which nodes: the one table."""

from collections.abc import Mapping
from typing import Final

from gateway.detect.air.drift import AirDrift
from gateway.detect.air.episode import AirEpisode
from gateway.detect.air.fault_rule import AirFault
from gateway.detect.air.stuck import AirStuck
from gateway.detect.flags import power_fail, tamper
from gateway.detect.health.boot_loop import BootLoop
from gateway.detect.health.falling_heap import FallingHeap
from gateway.detect.health.flooding import Flooding
from gateway.detect.health.lasting import ClockDrift, WeakRadio
from gateway.detect.site import Rules
from gateway.detect.traffic.dead_lane import DeadLane
from gateway.detect.traffic.impossible import Chatter, Impossible
from gateway.detect.traffic.jam import Jam
from gateway.detect.traffic.queues import Queues
from gateway.detect.traffic.stuck import StuckOn, StuckSpeed
from gateway.detect.traffic.wrong_way import WrongWay
from gateway.detect.water.backflow import Backflow
from gateway.detect.water.balance import Balance
from gateway.detect.water.burst import Burst
from gateway.detect.water.frost import Frost
from gateway.detect.water.leak_rule import LeakRule
from gateway.detect.water.mains import Mains
from gateway.detect.water.rollback import Rollback
from gateway.detect.water.stopped import Stopped

RULES: Final[Mapping[str, Rules]] = {
    "traffic": Rules(
        node=(
            tamper,
            power_fail,
            Jam,
            StuckOn,
            StuckSpeed,
            Chatter,
            Impossible,
            DeadLane,
            WrongWay,
            Flooding,
        ),
        site=(Queues,),
    ),
    "water": Rules(
        node=(tamper, power_fail, Burst, LeakRule, Backflow, Frost, Stopped, Rollback, Flooding),
        site=(Mains, Balance),
    ),
    "air": Rules(node=(tamper, power_fail, AirStuck, Flooding), site=(AirFault, AirDrift, AirEpisode)),
    "health": Rules(node=(BootLoop, WeakRadio, ClockDrift, FallingHeap, Flooding)),
}
"""By measurement. `silent` is of all nodes of a site, whatever they measure: see gateway/detect/site.py."""

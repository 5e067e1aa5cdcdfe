"""Tells, for any series of readings, which reading is rare within that series' own past, and why.

Three evidences, each ranked within the series' own past (`ranks`), are averaged: how far the value is from the level
(`level`), how far from what this hour of the day is used to be (`season`), how seldom such a shape of the last
readings was (`pattern`). What then stands out is told once (`telling`).
"""

from gateway.detect.core.core import Core
from gateway.detect.core.verdict import CHANGE, LEVEL, NONE, RARITY, SEASON, SPREAD, WHY, Verdict

__all__ = ["CHANGE", "LEVEL", "NONE", "RARITY", "SEASON", "SPREAD", "WHY", "Core", "Verdict"]

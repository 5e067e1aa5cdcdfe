"""Tells, for any series of readings, which reading is rare within that series' own past, and why.

Three evidences, each ranked within the series' own past (`ranks`), are averaged: how few values were as high, or as
low, how far it is from what this hour of the day is used to be (`season`), how seldom such a shape of the last
readings was (`pattern`). What then stands out is told once (`telling`).
"""

from gateway.detect.core.core import Core
from gateway.detect.core.verdict import NONE, PATTERN, SEASON, VALUE, WHY, Verdict

__all__ = ["NONE", "PATTERN", "SEASON", "VALUE", "WHY", "Core", "Verdict"]

"""A refused pack's dead letter holds what the node sent."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.forward.senml import encode_pack
from gateway.ingest.decode import decode_pack
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Reading
from tests.gateway.conftest import NOW


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    """Any pack that the gateway may accept."""
    kind = draw(st.sampled_from(KINDS))
    possible = [each for each in QUANTITIES if each.measurement in (kind, "*")]
    readings = {}
    for quantity in draw(st.lists(st.sampled_from(possible), max_size=6)):
        value = draw(st.sampled_from([0.0, 1.0]) if quantity.flag else st.floats(quantity.low, quantity.high))
        channel = draw(st.sampled_from(["lane1", "lane-2"])) if quantity.per_lane else ""
        time = NOW - draw(st.integers(0, 3600))
        readings[time, channel, quantity.name] = Reading(time, channel, quantity.name, value)
    return Pack.of("riverside", f"{kind}-1", "telemetry", kind, 1, 2, NOW, tuple(readings.values()))


@given(packs())
def test_encoding_is_the_inverse_of_decoding(pack: Pack) -> None:
    """Times, channels, flags and units included."""
    kind = pack.measurement
    assert decode_pack("riverside", f"{kind}-1", "telemetry", encode_pack(pack), now=float(NOW), kind=kind) == pack

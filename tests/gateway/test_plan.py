"""What is looked up in a plan: of one site, of one node."""

from gateway.detect.plan import Plan, Spot, Street, Zone

PLAN = Plan(
    street=(Street("Mill Lane", ("traffic-0001",), "riverside"), Street("Ring", ("traffic-0001",), "hill")),
    zone=(
        Zone("Old Town", ("water-0001", "air-0001"), ("water-0009",), site="riverside"),
        Zone("All", ("air-0001",)),
        Zone("Top", ("water-0001",), site="hill"),
    ),
    node=(
        Spot("water-0001", (50.0, 8.0), "anywhere"),
        Spot("water-0001", (51.0, 9.0), "on the hill", "hill"),
        Spot("water-0001", (52.0, 9.0), "a second time", "hill"),
    ),
)


def test_what_names_no_site_is_of_each() -> None:
    own = PLAN.of("hill")
    assert [each.name for each in (*own.street, *own.zone)] == ["Ring", "All", "Top"]
    assert [each.label for each in own.node] == ["anywhere", "on the hill", "a second time"]


def test_a_spot_of_the_site_goes_before_one_of_none() -> None:
    """And the first of two."""
    found = {site: PLAN.spot(site, "water-0001") for site in ("riverside", "hill")}
    assert {site: spot.label for site, spot in found.items() if spot} == {
        "riverside": "anywhere",
        "hill": "on the hill",
    }
    assert PLAN.spot("hill", "water-0002") is None


def test_zones_of_nodes_by_their_inlets_too() -> None:
    assert PLAN.zones_of("riverside", "water-0009") == ["Old Town"]
    assert PLAN.zones_of("riverside", "air-0001") == ["Old Town", "All"]
    assert PLAN.zones_of("hill", "water-0001", "air-0001") == ["All", "Top"]
    assert PLAN.zones_of("riverside") == []

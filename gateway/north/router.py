"""What the console serves to other systems."""

from fastapi import APIRouter

from gateway.north.newest import Looker
from gateway.north.ngsi_router import ngsi_router
from gateway.north.sta_router import sta_router
from gateway.web.seat import Seat


def make_router(seat: Seat) -> APIRouter:
    """NGSI-LD below `/ngsi-ld/v1` and SensorThings below `/sensorthings/v1.1`. Both ask the database through one
    `Looker`, so that they tell the same."""
    looker = Looker(seat)
    router = APIRouter()
    router.include_router(ngsi_router(looker))
    router.include_router(sta_router(seat, looker))
    return router

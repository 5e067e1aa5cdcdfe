"""The fleet: starts, paces and counts emulated nodes, each the real firmware on the real interpreter."""

"""Incidents that prove who told them: signed with an identity of the city's authority, for whoever reads them."""

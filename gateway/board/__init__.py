"""Boards at the gateway's hand: what is put on them."""

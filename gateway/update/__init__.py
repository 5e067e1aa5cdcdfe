"""Updates over the air: packing and signing firmware, offering it to nodes, serving it piece by piece."""

"""Files into packs: line protocol and CSV, checked like what a node sends."""

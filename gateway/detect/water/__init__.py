"""Rules for water: what homes' meters and those at districts' inlets tell."""

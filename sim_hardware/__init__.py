"""Everything that stands in for copper and streets."""

"""Detection of what is unusual in any series, without knowing what it measures."""

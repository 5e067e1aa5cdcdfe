"""What citizens see and are told: a page, feeds and Web Push. Of places, never of a home or a node."""

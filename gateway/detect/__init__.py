"""What an operator should know: incidents, found in the packs' own time, the same however often they are read."""

"""What goes down to the nodes: their wanted configuration, commands, and the time for those that have none."""

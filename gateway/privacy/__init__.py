"""What is kept of people's homes: how it is summed up for others, how long it is kept, given out, and deleted."""

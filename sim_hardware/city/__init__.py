"""The simulated city: what happens in the streets, pipes and air, minute by minute, with its ground truth."""

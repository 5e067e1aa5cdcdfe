"""What is wrong with an installation, and the cure: checks that look and change nothing."""

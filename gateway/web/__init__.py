"""What people look at: a process of its own beside the gateway, which only reads, and asks the gateway to act."""

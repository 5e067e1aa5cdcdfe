"""What changes a running gateway, asked for by its operator's commands."""

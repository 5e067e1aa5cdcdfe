"""The operators' pages, by NiceGUI."""

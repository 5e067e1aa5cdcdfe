"""Nodes that are not well."""

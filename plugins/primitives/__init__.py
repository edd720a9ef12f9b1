"""Synchronisation primitives, one a file."""

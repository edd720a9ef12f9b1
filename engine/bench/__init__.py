"""The load generator: what `wsrv bench` asks with, and what it counts."""

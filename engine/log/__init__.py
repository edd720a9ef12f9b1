"""The access log: how a line looks, and the process that writes it."""

"""How a connection travels from master to worker: the protocols of a transport, and the record that travels."""

"""TLS without a loop: certificates and their renewal, and one client's session over a descriptor."""

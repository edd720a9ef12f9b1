"""What guards shared things: the protocol of a synchronisation primitive."""

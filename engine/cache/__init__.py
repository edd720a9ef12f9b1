"""What a worker remembers: the store of prebuilt responses, and the protocol of the policy that picks victims."""

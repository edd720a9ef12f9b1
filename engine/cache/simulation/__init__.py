"""What another policy or size would have done with requests that were: replays, bounds, samples."""

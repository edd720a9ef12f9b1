"""The worker process: an event loop that answers, and a pool of threads for what blocks."""

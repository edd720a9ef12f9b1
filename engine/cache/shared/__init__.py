"""One cache in shared memory for all workers: content is stored once, read without a lock, written under one."""

"""What master, workers and log writer share: one mapping, its statistics rows and its log rings."""

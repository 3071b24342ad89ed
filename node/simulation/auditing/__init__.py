"""The audit of a seed: what an application reads that the seed does not decide, at its file and line."""

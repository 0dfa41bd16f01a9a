"""multigrid."""

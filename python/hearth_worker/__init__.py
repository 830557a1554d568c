"""Modules of the mlx engine's worker."""

"""Helpers of the package ``segment_anything``."""

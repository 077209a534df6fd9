"""Depth-batched generation behind Triton: what model.py drives."""

"""Measures nbdebug and stock debugpy side by side, on real kernels: ``python -m benchmarks``."""

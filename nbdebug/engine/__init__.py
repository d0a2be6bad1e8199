"""Stops, steps and inspects the Python code of this process; standard library only."""

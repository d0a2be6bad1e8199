"""Finds other Python processes, looks into them, puts the agent into them."""

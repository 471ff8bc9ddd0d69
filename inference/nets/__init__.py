"""The networks, one a file, and the graph that wraps them for the engines.

Import the modules themselves: they need torch, which a start from a warm cache of
engines does without.
"""

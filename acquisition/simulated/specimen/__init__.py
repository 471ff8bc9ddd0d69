"""The living cells: what they are, how they move, divide and die."""

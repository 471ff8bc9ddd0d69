"""The shortcut audit: whether a simulated world is neither trivial nor hopeless."""

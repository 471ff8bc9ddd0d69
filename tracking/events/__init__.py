"""What happened, what is about to happen, and what became of what was said."""

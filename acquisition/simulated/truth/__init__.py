"""What is exactly known of every frame, and what could be foreseen."""

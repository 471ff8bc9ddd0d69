"""What was said about the last frames, corrected by what came after."""

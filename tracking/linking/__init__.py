"""The same cell keeps its name: one frame further, in one compiled step."""

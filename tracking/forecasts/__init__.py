"""Where every cell will be: a bank of walks, and a network that corrects it."""

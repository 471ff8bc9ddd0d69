"""What is done offline on recorded runs: scores, exports, review, training."""

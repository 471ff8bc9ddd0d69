"""What the user sees: command line, supervisor, window, status line and benchmarks."""

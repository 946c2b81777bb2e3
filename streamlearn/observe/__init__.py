"""What the outside sees of a running daemon: metrics, health, a page to look at, the log."""

"""What outlives the process: checkpoints, written whole or not at all."""

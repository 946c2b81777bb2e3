"""The ring of rows, the stages that work on it, and the threads that they share."""

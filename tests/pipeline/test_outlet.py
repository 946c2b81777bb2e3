"""What leaves the ring: runs of rows as they came, every n-th embedding, events and figures."""

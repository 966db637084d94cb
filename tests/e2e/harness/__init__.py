"""What the end-to-end tests stand on: the real binary, stores, lakes, senders."""

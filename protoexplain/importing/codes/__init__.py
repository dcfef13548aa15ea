"""Each file here is an official code; it publishes the entry `CODE`."""

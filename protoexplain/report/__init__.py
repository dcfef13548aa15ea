"""Reports: all that is known of a model, and some pictures explained, in one file for people or for programs."""

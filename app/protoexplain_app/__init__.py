"""The web app: choose a checkpoint and a picture, and see which parts look like which training parts."""

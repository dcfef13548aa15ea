"""What can be done with a checkpoint and a picture: one file for each tab, which publishes `TAB`."""

"""What can be done with a checkpoint and a picture: one folder for each tab, whose `tab.py` publishes `TAB`."""

"""What can be done with a checkpoint and a picture; one file each, each with a function `build`."""

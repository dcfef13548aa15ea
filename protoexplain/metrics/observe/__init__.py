"""What is observed of a model on images: the passes over the images, and the table that they fill."""

"""From the maps of prototypes to places in pictures: best cells, boxes, receptive fields, object and background."""

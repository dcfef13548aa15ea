"""The families: each is one file, or one folder, whose name is the name of the family and which holds its `FAMILY`.

A folder keeps the settings apart from the network, which is imported only when a model is built: thus configurations
can be listed and checked without torch.  docs/extending.md tells how to add a family.
"""

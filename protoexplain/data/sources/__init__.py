"""One module for each layout on disk; its file name is its name and it publishes `SOURCE`.

docs/extending.md tells how to add a layout of data sets.
"""

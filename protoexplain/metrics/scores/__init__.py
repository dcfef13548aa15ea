"""One metric per file; the file name is the metric's name, and the file publishes METRIC."""

"""One metric per file; the file name is the metric's name, and the file publishes METRIC.

docs/metrics.md tells how to add a metric ("A metric of your own").
"""

"""View models to HTML; one file for each tab, and what they share.  Templates escape every name and text."""

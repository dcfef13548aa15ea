"""What the pages can do, as pure functions: no widgets, no HTML; one file for each tab, and what they share."""

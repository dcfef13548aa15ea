"""Folders and files that systems and tools leave behind, in data sets and checkpoints alike."""

from __future__ import annotations

import re

_LEFT_BEHIND = frozenset(
    {
        "$recycle.bin", "recycler", "recycled", "system volume information", "$extend", "$winreagent", "msocache",
        "config.msi", "desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "__macosx", "icon\r",
        "network trash folder", "temporary items", "thevolumesettingsfolder", "lost+found", "lost.dir", "@eadir",
        "@recycle", "@recently-snapshot", "@tmp", "@__thumb", "@transcode", "@synoresource", "@synoeastream",
        "#recycle", "#snapshot", "~snapshot", "_gsdata_", "onedrivetemp", "ipod photo cache", "thumbnails",
        "__pycache__", "site-packages", "node_modules", "cvs", "_svn", "wandb", "mlruns", "lightning_logs",
    }
)  # fmt: skip
"""Names that Windows, macOS, Linux, Android, network drives and tools of programmers use, in lower case."""


def is_left_behind(name: str) -> bool:
    """Whether a name is hidden, or one that a system or tool gives to its own files."""
    lower = name.casefold()
    return name.startswith((".", "~$")) or lower in _LEFT_BEHIND or re.fullmatch(r"found\.\d{3}", lower) is not None

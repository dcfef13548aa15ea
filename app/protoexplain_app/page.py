"""The page: title, the tabs, and the panel of inputs beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from protoexplain_app.library import Choice, Library
from protoexplain_app.navigation import NavigationState
from protoexplain_app.panel import panel
from protoexplain_app.panel import view as views
from protoexplain_app.tab import find_tabs
from protoexplain_app.widgets import ON_CHOICE, ROOT, html, script

SESSIONS = 200
"""Visitors whose state is kept."""
WITH_PICTURE = "with-picture"
"""Class of the tabs that use the chosen picture; beside others the panel of pictures is hidden."""


def build(library: Library) -> gr.Blocks:
    """The page: tabs, what the open one shows, and beside it the inputs; the keyboard meets them in this order."""
    tabs = find_tabs()
    names = [tab.name for tab in tabs]
    with gr.Blocks(title="protoexplain", fill_width=True, delete_cache=(3600, 7200), analytics_enabled=False) as demo:
        html(views.header(), elem_id="head")
        navigation = NavigationState(
            gr.State(None), gr.State(names[0]), html(elem_id="address"), {n: gr.State(None) for n in names}
        )
        notices = html(elem_id="notices")
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="result"), gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as strip:
                for tab in tabs:
                    kind = [WITH_PICTURE] if tab.uses_picture else []
                    with gr.Tab(tab.title, id=tab.name, elem_id=f"tab-{tab.name}", elem_classes=kind) as item:
                        tab.build(library, navigation.shown[tab.name])
                    opened = [navigation.here, navigation.shown[tab.name]]
                    item.select(_opened(tab.name), [navigation.choice], opened, **ON_CHOICE)
            with gr.Column(elem_id="inputs"):
                widgets = panel.lay_out(notices)
        html(views.helps())
        panel.wire(widgets, library, navigation, strip, names, demo)
    _tell_progress_to(navigation.address, demo)
    demo.state_session_capacity = SESSIONS
    return demo.queue(max_size=64, default_concurrency_limit=1)


def appearance() -> dict[str, Any]:
    """Theme, styles and scripts."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"])
    theme.set(body_background_fill="#f6f5f2", body_background_fill_dark="#14181d")
    theme.set(body_text_color_subdued="#5b6676", block_info_text_color="#5b6676")
    theme.set(body_text_color_subdued_dark="#9aa8ba", block_info_text_color_dark="#9aa8ba")
    return {
        "theme": theme,
        "css_paths": [*sorted(ROOT.glob("theme/*.css")), *sorted(ROOT.glob("tabs/*/style.css"))],
        "head": f"<script>{script('theme/in_turn.js', 'theme/address.js', 'theme/page.js')}</script>",
        "favicon_path": str(ROOT / "theme" / "icon.svg"),
    }


def _tell_progress_to(place: gr.HTML, demo: gr.Blocks) -> None:
    """Let the browser tell how far an event is to one widget alone, where nothing of it is shown.

    By default it tells every output of every event, several times for each, and copies all that a widget holds each
    time: a good part of what a click costs.
    """
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [place]


def _opened(name: str) -> Callable[[Choice | None], tuple[str, Any]]:
    return lambda choice: (name, gr.skip() if choice is None else choice)

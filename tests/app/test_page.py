"""The page as it is wired: what a visitor chooses quickly, one thing after the other, is not lost."""

from __future__ import annotations

from collections import defaultdict

import gradio as gr

from protoexplain_app.page import build


def test_what_the_page_remembers_is_changed_by_one_event_at_a_time(library):
    """An event that began before another has ended would start from what was chosen earlier, and write that back."""
    writers = defaultdict(set)
    for event in build(library).fns.values():
        for state in event.outputs:
            if isinstance(state, gr.State):
                writers[state._id].add((event.concurrency_id, event.concurrency_limit))
    assert writers
    assert all(len(queues) == 1 for queues in writers.values()), writers
    assert {limit for queues in writers.values() for _, limit in queues} == {1}


def test_progress_that_is_not_shown_is_told_to_one_widget(library):
    """Telling every output, several times an event, was more than half of what a click cost the browser."""
    demo = build(library)
    hidden = [event for event in demo.fns.values() if event.show_progress == "hidden"]
    assert hidden
    assert {tuple(widget.elem_id for widget in event.show_progress_on) for event in hidden} == {("address",)}

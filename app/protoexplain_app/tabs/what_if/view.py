"""HTML of the tab 'What if'."""

from __future__ import annotations

import time

from protoexplain.class_names import readable
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.view.sentences import about_what_if
from protoexplain_app.tabs.what_if.actions import CELLS, SLIDERS, USES, Query, WhatIfView
from protoexplain_app.templating import page


def original(shown: WhatIfView, query: Query, visit: int = 0) -> str:
    """The picture as it is, to paint on; `visit` lets the page see that what was painted belongs to another one."""
    return page("tabs/what_if/original.html", shown=shown, query=query, cells=CELLS, visit=visit)


def controls(query: Query) -> str:
    """Sliders, questions and tools for painting, as a form."""
    return page("tabs/what_if/query.html", query=query, sliders=SLIDERS, known=MODIFICATIONS, uses=USES)


def changed(shown: WhatIfView) -> str:
    """The changed picture."""
    return page("tabs/what_if/changed.html", shown=shown)


def answer(shown: WhatIfView, query: Query, turn: int = 0) -> str:
    """What the change does to the classes; `turn` lets the page see that it is a new answer."""
    return page(
        "tabs/what_if/page.html",
        shown=shown,
        sentence=about_what_if(shown.found, readable),
        parameters=query.parameters,
        turn=turn,
    )


def trouble(message: str) -> str:
    """What is shown instead of an answer; the page sees that it is new even where the message is the one before."""
    return f'<div data-turn="{time.monotonic_ns()}">{message}</div>'


def prototypes(shown: WhatIfView, model: str) -> str:
    """Prototypes that lost and gained."""
    return page("tabs/what_if/prototypes.html", shown=shown, model=model)

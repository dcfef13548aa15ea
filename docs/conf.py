"""Settings of the documentation: python -m sphinx -W docs build/docs, then open build/docs/index.html.

No server is needed to read it, and nothing is fetched: no fonts, no scripts, formulas as MathML, a search of its own.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import protoexplain  # noqa: E402

project = "protoexplain"
copyright = "the authors of protoexplain, MIT licence"
version = release = protoexplain.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages", "mathml"]
exclude_patterns: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "forward, model_config"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
default_role = "code"  # as in Markdown
napoleon_use_rtype = False

html_theme = "furo"
smartquotes = False
html_title = f"protoexplain {release}"
html_theme_options = {"sidebar_hide_name": False}
html_static_path = ["images"]
html_copy_source = False
html_show_sphinx = False
math_number_all = False

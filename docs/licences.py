"""Write the list of what protoexplain depends on, from the installed packages: python docs/licences.py"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PAGE = Path(__file__).with_name("licences.md")
PROJECT = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("heic", "export")
"""What users may add; the others are for developers."""
HEAD = """# Licences of dependencies

protoexplain is under the MIT licence. This is what it needs when it runs, and what these need in turn, as the packages
themselves declare it; made by `python docs/licences.py`. Libraries for NVIDIA GPUs, which torch brings along on Linux,
are under NVIDIA's own licence. Pango, which PDF reports need, is a library of the system (LGPL). The weights of
EfficientNet-Lite0 are under the Apache licence 2.0, as the file in their package says.

| package | licence |
| --- | --- |
"""
MORE = """
With the extras `heic` (HEIC pictures) and `export` (ONNX), also:

| package | licence |
| --- | --- |
"""


def needed(name: str, seen: dict[str, Distribution]) -> None:
    """Gather a package and all that it needs on any machine, without extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen or key.startswith(("nvidia-", "cuda-")):
        return
    try:
        seen[key] = distribution(name)
    except PackageNotFoundError:  # of other systems or Python versions
        return
    for requirement in seen[key].requires or []:
        if "extra ==" not in requirement:
            needed(re.split(r"[^\w.-]", requirement)[0], seen)


def licence(package: Distribution) -> str:
    """The expression if there is one, else the classifiers, else the first line of the free text."""
    about = package.metadata
    classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    classified = [line.rpartition(" :: ")[2] for line in classifiers]
    text = (about.get("License") or "").strip().splitlines()
    return about.get("License-Expression") or ", ".join(classified) or (text[0] if text else "not declared")


def page() -> str:
    seen: dict[str, Distribution] = {}
    needed("protoexplain", seen)
    seen.pop("protoexplain")
    more = dict(seen)
    for requirement in (one for extra in EXTRAS for one in PROJECT["optional-dependencies"][extra]):
        needed(re.split(r"[^\w.-]", requirement)[0], more)
    return HEAD + _rows(seen) + MORE + _rows({name: more[name] for name in set(more) - set(seen)})


def _rows(packages: dict[str, Distribution]) -> str:
    return "".join(f"| {name} | {licence(packages[name])} |\n" for name in sorted(packages))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The JSON schema of reports, and of the explanations in them, made from the classes themselves.

`python -m protoexplain.report.schema` writes report.schema.json anew; a test checks that it is up to date.  An
explanation by itself, as `protoexplain explain --json` tells it, follows the definition ``Explanation`` in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, create_model

from protoexplain.explanations.evidence import local
from protoexplain.io.atomic import write_file
from protoexplain.report.report import SCHEMA_VERSION, Report
from protoexplain.view.explanation_view import ExplanationView

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")
_DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def report_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of what `Report.to_dict` gives; other keys may stand beside the known ones."""
    view = _model(ExplanationView, {"explanation": dict[str, Any]})
    schema = _model(Report, {"images": tuple[view, ...] | None}).model_json_schema(mode="serialization")  # type: ignore[valid-type]
    explanation = explanation_schema()
    del explanation["$schema"]
    schema["$defs"] |= explanation.pop("$defs") | {"Explanation": explanation}
    schema["$defs"]["ExplanationView"]["properties"]["explanation"] = {"$ref": "#/$defs/Explanation"}
    schema["properties"] = {"schema": {"const": SCHEMA_VERSION}, **schema["properties"]}
    schema["required"] = list(schema["properties"])
    return _DRAFT | schema


def explanation_schema() -> dict[str, Any]:
    """JSON schema of what `Explanation.to_dict` gives; other keys may stand beside the known ones."""
    schema = _model(local.Explanation, left_out=("maps",)).model_json_schema(mode="serialization")
    schema["properties"] = {
        "schema": {"const": local.SCHEMA_VERSION},
        **schema["properties"],
        "additive_error": {"type": "number", "minimum": 0},
    }
    schema["required"] = list(schema["properties"])
    return _DRAFT | schema


def _model(described: type, replaced: dict[str, Any] | None = None, left_out: Collection[str] = ()) -> type[BaseModel]:
    """A class with other types in some of its fields, and without others; its example is not part of the schema."""
    hints = get_type_hints(described) | (replaced or {})
    names = [f.name for f in dataclasses.fields(described) if f.name not in left_out]
    fields: dict[str, Any] = {name: (hints[name], ...) for name in names}
    described_as, _, _ = (described.__doc__ or "").partition("\n\n    Example:")
    return create_model(described.__name__, __doc__=described_as, **fields)


def schema_text() -> str:
    """What the file holds."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_file(SCHEMA_FILE, schema_text())

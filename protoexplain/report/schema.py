"""The JSON schema of reports, made from the classes themselves.

`python -m protoexplain.report.schema` writes report.schema.json anew; a test checks that it is up to date.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, create_model

from protoexplain.explanations.schema import explanation_schema
from protoexplain.io.atomic import write_file
from protoexplain.report.report import SCHEMA_VERSION, Report
from protoexplain.view.explanation_view import ExplanationView

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _model(described: type, replaced: dict[str, Any]) -> type[BaseModel]:
    """A class with other types in some of its fields."""
    hints = get_type_hints(described) | replaced
    fields: dict[str, Any] = {f.name: (hints[f.name], ...) for f in dataclasses.fields(described)}
    return create_model(described.__name__, __doc__=described.__doc__, **fields)


def schema_text() -> str:
    """What the file holds."""
    return json.dumps(report_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_file(SCHEMA_FILE, schema_text())

"""The JSON schema of explanations, made from the classes themselves.

`python -m protoexplain.explanations.schema` writes explanation.schema.json anew; a test checks that it is up to date.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, create_model

from protoexplain.explanations.evidence.local import SCHEMA_VERSION, Explanation
from protoexplain.io.atomic import write_file

SCHEMA_FILE = Path(__file__).with_name("explanation.schema.json")


def explanation_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of what `Explanation.to_dict` gives; other keys may stand beside the known ones."""
    hints = get_type_hints(Explanation)
    fields: dict[str, Any] = {f.name: (hints[f.name], ...) for f in dataclasses.fields(Explanation) if f.name != "maps"}
    described, _, _ = (inspect.getdoc(Explanation) or "").partition("\n\nExample:")
    content: type[BaseModel] = create_model("Explanation", __doc__=described, **fields)
    schema = content.model_json_schema(mode="serialization")
    schema["properties"] = {
        "schema": {"const": SCHEMA_VERSION},
        **schema["properties"],
        "additive_error": {"type": "number", "minimum": 0},
    }
    schema["required"] = list(schema["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """What the file holds."""
    return json.dumps(explanation_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_file(SCHEMA_FILE, schema_text())

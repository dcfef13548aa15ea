"""The published schema is made from the classes."""

import json

import jsonschema

from protoexplain.explanations.evidence.local import SCHEMA_VERSION
from protoexplain.explanations.schema import SCHEMA_FILE, schema_text


def test_file_is_up_to_date():
    written = SCHEMA_FILE.read_text(encoding="utf-8")
    assert written == schema_text(), "run python -m protoexplain.explanations.schema"


def test_it_is_a_schema_of_this_version():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": SCHEMA_VERSION}
    assert "maps" not in schema["properties"]
    assert "(x, y)" in schema["$defs"]["Match"]["description"], "fields are described"

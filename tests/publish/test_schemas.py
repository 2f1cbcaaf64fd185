"""The committed JSON Schemas are those of the models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heimdall_edge.publish.payload_base import Wire
from heimdall_edge.publish.schemas import MODELS, file_name, json_schemas, main, schema_text
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.types import Fix

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
REMEDY = "run: python -m heimdall_edge.publish.schemas docs/schemas"


@pytest.mark.parametrize("name", json_schemas())
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == schema_text(json_schemas()[name]), REMEDY


def test_no_schema_is_left_over_from_an_earlier_contract() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(json_schemas()), REMEDY


def test_the_command_writes_what_is_committed(tmp_path: Path) -> None:
    main(tmp_path / "new")
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()}
    assert written == {name: schema_text(schema) for name, schema in json_schemas().items()}


@pytest.mark.parametrize(("name", "model"), MODELS.items())
def test_every_payload_says_its_schema(name: str, model: type[Wire]) -> None:
    schema = json_schemas()[file_name(name)]
    assert schema["title"] == name
    assert schema["properties"]["schema"]["const"] == name
    assert "schema" in schema["required"]
    assert "additionalProperties" not in schema
    assert model.model_fields["schema_"].alias == "schema"


def test_every_field_of_a_published_fix_is_in_its_schema(fix_of: Callable[..., Fix]) -> None:
    schema = json_schemas()["heimdall.fix.1.json"]
    payload = json.loads(json.dumps(fix_payload(fix_of(), published_at_utc_ns=0, geojson=True)))
    assert payload.keys() <= schema["properties"].keys()
    assert set(schema["required"]) <= payload.keys()

"""JSON Schemas of the published format, generated from the models that write it.

``python -m heimdall_edge.publish.schemas docs/schemas`` writes the files anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from heimdall_edge.publish.payload_base import Wire
from heimdall_edge.publish.payload_fix import FixPayload
from heimdall_edge.publish.payload_observation import ObservationPayload
from heimdall_edge.publish.payload_station import InfoPayload, ReceiverPayload, StatsPayload

MODELS: dict[str, type[Wire]] = {
    "heimdall.info/1": InfoPayload,
    "heimdall.receiver/1": ReceiverPayload,
    "heimdall.observation/1": ObservationPayload,
    "heimdall.fix/1": FixPayload,
    "heimdall.stats/1": StatsPayload,
}
"""What stands in ``schema`` → the model."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """File name (``heimdall.fix.1.json``) → JSON Schema 2020-12."""
    return {file_name(name): _json_schema(name, model) for name, model in MODELS.items()}


def file_name(schema: str) -> str:
    """Where the schema of that name lies, in the folder of schemas."""
    return f"{schema.replace('/', '.')}.json"


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _json_schema(name: str, model: type[Wire]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    required = sorted({*schema.get("required", ()), "schema"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": name,
        "required": required,
    }


def main(folder: Path) -> None:
    """Write all schemas into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (folder / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

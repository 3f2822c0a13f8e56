"""The schema of a stack file as a validator, made once: pydantic takes 80 ms for it."""

import functools

import jsonschema

from tierup.stack.schema import json_schema


@functools.cache
def stack_validator() -> jsonschema.Draft7Validator:
    """What tells the problems of a stack file's document; it keeps nothing of what it has read."""
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)

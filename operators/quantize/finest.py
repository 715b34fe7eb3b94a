"""The column whose vectors an operator takes from a table: the finest that decodes by itself."""

import pyarrow as pa

from operators import columns
from operators.errors import ContractError
from operators.quantize.codes import FINEST_FIRST

CODED = ("codes", "scale", "bits", "bits_scale", "bits_error")
"""Columns that stand for vectors beside the floats."""


def finest(operator: str, schema: pa.Schema) -> pa.Field:
    """The finest column of vectors; ContractError where none can be decoded as it is."""
    for name in FINEST_FIRST:
        if name in schema.names:
            field = schema.field(name)
            scheme, learned = columns.decoder_of(field)
            if learned:
                needed = "vectors, or codes that decode without what a codec learned"
                raise ContractError(
                    operator, name, needed, f"{scheme} codes with a fitted artefact"
                )
            return field
    found = "only " + ", ".join(schema.names)
    raise ContractError(operator, FINEST_FIRST[0], "vectors or their codes", found)


def dim_of(operator: str, field: pa.Field) -> int:
    """The dimensions of a column of vectors; ContractError where its metadata does not say."""
    try:
        return columns.dim_of(field)
    except KeyError as error:
        needed, found = "a vector whose metadata says its dimensions", "no 'corpusmill.dim' there"
        raise ContractError(operator, field.name, needed, found) from error

"""The operators a config can name; one line each."""

from operators.base import Operator
from operators.encode.encode import Encode
from operators.quantize.quantize import Quantize
from operators.text.passages import Passages
from operators.text.tokenizer import Tokenize

OPERATORS: dict[str, type[Operator]] = {
    operator.name: operator
    for operator in (
        Encode,
        Passages,
        Quantize,
        Tokenize,
    )
}

"""The operators a config can name; one line each."""

from operators.adapt.adapt import Adapt
from operators.aggregate.aggregate import Aggregate
from operators.base import Operator
from operators.distil.distil import Distil
from operators.encode.encode import Encode
from operators.features.unified import UnifiedEmbedding
from operators.mine.mine import Mine
from operators.quantize.quantize import Quantize
from operators.quantize.token_codes import QuantizeTokens
from operators.teach.dse import Dse
from operators.teach.pairs import Pairs
from operators.teach.teach import Teach
from operators.text.late_passages import LatePassages
from operators.text.late_tree import LateTree
from operators.text.passages import Passages
from operators.text.tokenizer import Tokenize

OPERATORS: dict[str, type[Operator]] = {
    operator.name: operator
    for operator in (
        Adapt,
        Aggregate,
        Distil,
        Dse,
        Encode,
        LatePassages,
        LateTree,
        Mine,
        Pairs,
        Passages,
        Quantize,
        QuantizeTokens,
        Teach,
        Tokenize,
        UnifiedEmbedding,
    )
}

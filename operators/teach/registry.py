"""The teachers by name: one line each."""

from operators.teach.answer_likelihood import AnswerLikelihood
from operators.teach.bi_encoder import BiEncoder
from operators.teach.cross_encoder import CrossEncoder
from operators.teach.maxsim import MaxSim
from operators.teach.protocol import Teacher
from operators.teach.query_likelihood import QueryLikelihood
from operators.teach.uni_encoder import UniEncoder
from operators.teach.yes_no import YesNo

TEACHERS: dict[str, type[Teacher]] = {
    "cross-encoder": CrossEncoder,
    "bi-encoder": BiEncoder,
    "query-likelihood": QueryLikelihood,
    "answer-likelihood": AnswerLikelihood,
    "yes-no": YesNo,
    "uni-encoder": UniEncoder,
    "maxsim": MaxSim,
}

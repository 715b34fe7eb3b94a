"""A run holds the leases of all tables it writes, so that a second run of them stops at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cluster.progress import Progress
from operators.errors import SourceError
from operators.storage.lease import Holder, held
from operators.storage.table import Table
from pipelines.spec import Pipeline


@contextmanager
def leased(pipeline: Pipeline, date: str, progress: Progress) -> Iterator[None]:
    """Hold the lease of every phase's table; ConflictError when another run works on one.

    A store that refuses the lease does not stop the run: the run itself says what is wrong.
    TableError where an output path holds something that is not a table.
    """
    with ExitStack() as stack:
        for phase in pipeline.phases:
            table = phase.write.table
            Table(table).check_writable()
            try:
                stack.enter_context(held(table, Holder.this_process(date)))
            except SourceError as error:
                about = {"phase": phase.name}
                progress.say(f"goes on without a lease: {error}", about)
        yield

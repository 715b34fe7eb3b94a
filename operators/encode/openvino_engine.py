"""Graphs as OpenVINO computes them, on CPUs: fp32, bf16, and int8 without calibration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from operators.encode.engine import Inputs, Run, States

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""What is not multiplied as int8, attention above all, is computed in this."""
_GROUP = "128"
"""Values of a token's state that share a scale in int8: with one scale for all of them OpenVINO
2026.4 multiplies in float32, and with 32 it takes a fifth longer."""
_LEVELS = np.float32(127)


@dataclass(frozen=True)
class OpenVino:
    """One compiled model a worker, on the threads torch may use."""

    package: ClassVar[str] = "openvino"
    title: ClassVar[str] = "OpenVINO"
    file: ClassVar[str] = "graph.xml"

    def export(self, network: torch.nn.Module, inputs: Inputs, place: Path) -> None:
        import openvino

        graph = openvino.convert_model(network, example_input=tuple(inputs.values()))
        openvino.save_model(graph, place / self.file, compress_to_fp16=False)

    def compiled(self, place: Path, precision: str) -> Run:
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        graph: Any = core.read_model(place / self.file)
        if precision == "int8":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _GROUP
            _with_int8_weights(graph)
        model = core.compile_model(graph, "CPU", settings)

        def run(inputs: list[States]) -> States:
            found: States = model(inputs, share_outputs=False)[0]
            return found

        return run


def _with_int8_weights(graph: Any) -> None:
    """Give every product with a constant int8 weights, with a scale for each output."""
    from openvino import opset13 as ops

    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        weights = constant.get_data().astype(np.float32)
        inner = 1 if node.get_attributes()["transpose_b"] else 0
        scale = np.abs(weights).max(axis=inner, keepdims=True) / _LEVELS
        scale[scale == 0] = 1
        codes = ops.convert(ops.constant(np.rint(weights / scale).astype(np.int8)), "f32")
        scaled = ops.multiply(codes, ops.constant(scale))
        node.input(1).replace_source_output(scaled.output(0))
    graph.validate_nodes_and_infer_types()

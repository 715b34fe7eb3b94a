"""What to run: pipelines of phases, their identity, their plan and their work on one unit."""

from operators.base import Resources
from pipelines.spec import Budget, Gate, Phase, Pipeline, Step, Write

__all__ = ["Budget", "Gate", "Phase", "Pipeline", "Resources", "Step", "Write"]

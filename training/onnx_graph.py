"""Tensor expressions that write an ONNX graph, so that the posterior reads like NumPy.

Names are numbered in the order of building and nothing else enters the file: the same program
always writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value of the graph; its operators and methods append nodes."""

    graph: Graph
    name: str
    kind: str = "float32"
    """Its NumPy dtype."""

    def apply(
        self, op: str, *others: Operand, kind: str | None = None, **attributes: Any
    ) -> Tensor:
        """Append the node ``op`` with this tensor as its first input."""
        inputs = [self, *(self.lift(other) for other in others)]
        return self.graph.node(op, inputs, kind or self.kind, **attributes)

    def lift(self, value: Operand) -> Tensor:
        """A tensor as it is, a number as a constant of this tensor's dtype."""
        return value if isinstance(value, Tensor) else self.graph.constant(value, self.kind)

    def __add__(self, other: Operand) -> Tensor:
        return self.apply("Add", other)

    def __sub__(self, other: Operand) -> Tensor:
        return self.apply("Sub", other)

    def __mul__(self, other: Operand) -> Tensor:
        return self.apply("Mul", other)

    def __truediv__(self, other: Operand) -> Tensor:
        return self.apply("Div", other)

    def __radd__(self, other: float) -> Tensor:
        return self.lift(other) + self

    def __rsub__(self, other: float) -> Tensor:
        return self.lift(other) - self

    def __rmul__(self, other: float) -> Tensor:
        return self.lift(other) * self

    def __rtruediv__(self, other: float) -> Tensor:
        return self.lift(other) / self

    def __neg__(self) -> Tensor:
        return self.apply("Neg")

    def __gt__(self, other: Operand) -> Tensor:
        return self.apply("Greater", other, kind="bool")

    def __ge__(self, other: Operand) -> Tensor:
        return self.apply("GreaterOrEqual", other, kind="bool")

    def equals(self, other: Operand) -> Tensor:
        """True where both are the same number."""
        return self.apply("Equal", other, kind="bool")

    def where(self, yes: Tensor, no: Operand) -> Tensor:
        """``yes`` where this boolean tensor is true, else ``no``."""
        return self.graph.node("Where", [self, yes, yes.lift(no)], yes.kind)

    def exp(self) -> Tensor:
        return self.apply("Exp")

    def log(self) -> Tensor:
        return self.apply("Log")

    def sqrt(self) -> Tensor:
        return self.apply("Sqrt")

    def erf(self) -> Tensor:
        return self.apply("Erf")

    def at_least(self, other: Operand) -> Tensor:
        """The greater of the two."""
        return self.apply("Max", other)

    def at_most(self, other: Operand) -> Tensor:
        """The lesser of the two."""
        return self.apply("Min", other)

    def cast(self, kind: str) -> Tensor:
        """The same numbers in another dtype."""
        return self.apply("Cast", kind=kind, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def sum(self, axis: int) -> Tensor:
        """Sum over one axis, which stays with length 1."""
        return self.apply("ReduceSum", self.graph.constant([axis], "int64"), keepdims=1)

    def max(self, axis: int) -> Tensor:
        """The greatest along one axis, which stays with length 1."""
        return self.apply("ReduceMax", axes=[axis], keepdims=1)

    def expand(self, *axes: int) -> Tensor:
        """With axes of length 1 inserted."""
        return self.apply("Unsqueeze", self.graph.constant(axes, "int64"))

    def squeeze(self, *axes: int) -> Tensor:
        """Without these axes of length 1."""
        return self.apply("Squeeze", self.graph.constant(axes, "int64"))

    def pick(self, index: int, axis: int) -> Tensor:
        """One index of an axis, which goes away."""
        return self.apply("Gather", self.graph.constant(index, "int64"), axis=axis)


Operand: TypeAlias = Tensor | float


class Graph:
    """The graph under construction: inputs, nodes in order, constants, outputs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._count = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[str | int]) -> Tensor:
        """Declare a float32 input; a named axis is dynamic."""
        self._inputs.append(_value_info(name, shape))
        return Tensor(self, name)

    def output(self, tensor: Tensor, name: str, shape: Sequence[str | int]) -> None:
        """Declare a float32 output."""
        self._nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        self._outputs.append(_value_info(name, shape))

    def constant(self, value: ArrayLike, kind: str = "float32") -> Tensor:
        """A constant; equal ones are stored once."""
        array = np.asarray(value, dtype=kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = Tensor(self, name, kind)
        return self._constants[key]

    def node(self, op: str, inputs: Sequence[Tensor], kind: str, **attributes: Any) -> Tensor:
        """Append a node of one output."""
        return self.nodes(op, inputs, [kind], **attributes)[0]

    def nodes(
        self, op: str, inputs: Sequence[Tensor], kinds: Sequence[str], **attributes: Any
    ) -> list[Tensor]:
        """Append a node of several outputs."""
        names = [f"v{self._count + i}" for i in range(len(kinds))]
        self._count += len(kinds)
        self._nodes.append(helper.make_node(op, [t.name for t in inputs], names, **attributes))
        return [Tensor(self, name, kind) for name, kind in zip(names, kinds, strict=True)]

    def when(
        self, condition: Tensor, yes: Callable[[], Tensor], no: Callable[[], Tensor]
    ) -> Tensor:
        """What ``yes`` builds where a boolean scalar is true, else what ``no`` builds.

        Only one of the two is computed. Both must have one dtype.
        """
        branches, kind = {}, ""
        for label, build in (("then_branch", yes), ("else_branch", no)):
            outer, self._nodes = self._nodes, []
            result = build()
            name, kind = f"{label}{self._count}", result.kind
            self._nodes.append(helper.make_node("Identity", [result.name], [name]))
            branches[label] = helper.make_graph(self._nodes, name, [], [_value_info(name, None)])
            self._nodes = outer
        return self.node("If", [condition], kind, **branches)

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The finished, checked model with its manifest."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, self._initializers
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        model.producer_name = "heimdall-edge"
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model


def _value_info(name: str, shape: Sequence[str | int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

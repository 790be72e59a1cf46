"""ONNX: a model as a graph of doubles and texts, one input a column, encoding included.

A column of numbers is an input of doubles, ``(n_rows, 1)``, NaN where missing; a column of categories an input of texts,
``(n_rows, 1)``, each as the schema declares it. A text that no category is declared as, such as the one in the metadata
under ``missing_text``, stands for a missing one.
"""

from collections.abc import Sequence
from typing import Any

from expunge.data.formulas import FAINT, Formula, texts_compared
from expunge.workspace.exports.rules import Rules
from expunge.workspace.model_kinds import InverseLink

OPSET, IR_VERSION = 19, 9
"""The first in which texts are compared; and the format of files that it came with."""
_OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "min": "Min", "max": "Max", "log": "Log", "sin": "Sin"}


def model_bytes(rules: Rules) -> bytes:
    """The model as the content of a ``.onnx`` file.

    Its outputs are ``prediction``, ``(n_rows,)``, and ``probabilities``, ``(n_rows, K)``, if the model has any; ``_`` is added
    to the name of an output that is a column's.

        rules: of the model.

    Raises:
        ImportError: onnx is not installed.
    """
    from onnx import TensorProto, checker, helper

    published, graph = rules.published, _Graph(rules)
    features = graph.add("Concat", [graph.formula(formula) for formula in rules.formulas], axis=1)
    is_faint = graph.add("Less", [graph.add("Abs", [features]), graph.constant(FAINT)])
    x = graph.add("Where", [is_faint, graph.constant(0.0), features])
    if rules.normalise:
        squares = graph.add("ReduceSum", [graph.add("Mul", [x, x]), graph.whole([1])], keepdims=1)
        x = graph.add("Div", [x, graph.add("Max", [graph.add("Sqrt", [squares]), graph.constant(FAINT)])])
    transposed = [list(row) for row in zip(*published.coefficients, strict=True)]
    t = graph.add("Add", [graph.add("MatMul", [x, graph.constant(transposed)]), graph.constant(published.intercepts)])
    if rules.offset:
        t = graph.add("Add", [t, graph.formula(rules.offset)])
    outputs = [helper.make_tensor_value_info(graph.free("prediction"), TensorProto.DOUBLE, ["n_rows"])]
    if rules.inverse_link is InverseLink.THRESHOLD:
        is_second = graph.add("Cast", [graph.add("Greater", [t, graph.constant(0.0)])], to=TensorProto.INT64)
        side = graph.add("Squeeze", [is_second, graph.whole([1])])
        graph.add("Gather", [graph.texts(published.classes), side], outputs[0].name, axis=0)
        outputs = [helper.make_tensor_value_info(outputs[0].name, TensorProto.STRING, ["n_rows"])]
    elif rules.published.classes:
        if rules.inverse_link is InverseLink.CUMULATIVE:
            probabilities = graph.graded(t)
            likeliest = graph.add("ArgMax", [probabilities], axis=1, keepdims=0)
        else:
            if len(published.classes) == 2:
                t = graph.add("Concat", [graph.add("Mul", [t, graph.constant(0.0)]), t], axis=1)
            probabilities = graph.add("Softmax", [t], graph.free("probabilities"), axis=1)
            likeliest = graph.add("ArgMax", [t], axis=1, keepdims=0)
        graph.add("Gather", [graph.texts(published.classes), likeliest], outputs[0].name, axis=0)
        outputs = [
            helper.make_tensor_value_info(outputs[0].name, TensorProto.STRING, ["n_rows"]),
            helper.make_tensor_value_info(probabilities, TensorProto.DOUBLE, ["n_rows", len(published.classes)]),
        ]
    else:
        mean = graph.add("Exp", [t]) if rules.inverse_link is InverseLink.EXPONENTIAL else t
        graph.add("Squeeze", [mean, graph.whole([1])], outputs[0].name)
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n_rows", 1]) for name in rules.numbers]
    inputs += [helper.make_tensor_value_info(name, TensorProto.STRING, ["n_rows", 1]) for name in rules.texts]
    made = helper.make_model(
        helper.make_graph(graph.nodes, published.model, inputs, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="expunge",
    )
    metadata = {
        "model": published.model,
        "release": published.release,
        "certificate": published.certificate,
        "schema": published.specification.schema,
        "missing_text": graph.missing_text,
    }
    helper.set_model_props(made, {name: str(value) for name, value in metadata.items()})
    checker.check_model(made)
    return bytes(made.SerializeToString())


def _undeclared(rules: Rules) -> str:
    """A text that no category is declared as: the empty one, or one like it."""
    declared = {text for formula in rules.formulas for text in texts_compared(formula)}
    text = ""
    while text in declared:
        text += "\N{REPLACEMENT CHARACTER}"
    return text


class _Graph:
    """Nodes, each made once; their names are no column's."""

    def __init__(self, rules: Rules) -> None:
        self.nodes: list[Any] = []
        self.missing_text = _undeclared(rules)
        self._numbers, self._taken = set(rules.numbers), {*rules.numbers, *rules.texts}
        self._made: dict[Formula, str] = {}

    def free(self, name: str) -> str:
        """``name``, or one like it that nothing else has."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def add(self, operator: str, inputs: Sequence[str], name: str | None = None, **attributes: Any) -> str:
        """A node; the name of its output."""
        from onnx import helper

        output = name or self.free(f"{operator.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Any) -> str:
        """A number, or an array of them, as doubles."""
        import numpy as np
        from onnx import numpy_helper

        return self.add("Constant", [], value=numpy_helper.from_array(np.asarray(value, dtype=np.float64)))

    def whole(self, values: Sequence[int]) -> str:
        """Whole numbers."""
        return self.add("Constant", [], value_ints=list(values))

    def texts(self, values: Sequence[str]) -> str:
        """Texts."""
        return self.add("Constant", [], value_strings=[value.encode() for value in values])

    def formula(self, formula: Formula) -> str:
        """A formula, ``(n_rows, 1)`` or one number."""
        if formula not in self._made:
            self._made[formula] = self._formula(formula)
        return self._made[formula]

    def _formula(self, formula: Formula) -> str:
        if not isinstance(formula, tuple):
            return self.constant(formula)
        operation, *arguments = formula
        if operation == "number":
            return str(arguments[0])
        if operation == "is":
            return self._as_double(self.add("Equal", [arguments[0], self.texts(arguments[1:])]))
        if operation == "is_missing":
            return self._as_double(self._is_missing(arguments[0]))
        first, *rest = (self.formula(argument) for argument in arguments)
        if operation == "if_known":
            return self.add("Where", [self.add("IsNaN", [first]), self.constant(0.0), *rest])
        if operation == "if_below":
            return self.add("Where", [self.add("Less", [first, rest[0]]), *rest[1:]])
        if operation == "mod":
            return self.add("Mod", [first, *rest], fmod=1)
        return self.add(_OPERATORS[operation], [first, *rest])

    def graded(self, t: str) -> str:
        """Probabilities of ordered classes, of the log-odds of being above each cut-point."""
        none = self.add("Mul", [self.add("ReduceMax", [t, self.whole([1])], keepdims=1), self.constant(0.0)])
        above = self.add("Sigmoid", [t])
        high = self.add("Concat", [self.add("Add", [none, self.constant(1.0)]), above], axis=1)
        return self.add("Sub", [high, self.add("Concat", [above, none], axis=1)], self.free("probabilities"))

    def _is_missing(self, name: str) -> str:
        return (
            self.add("IsNaN", [name]) if name in self._numbers else self.add("Equal", [name, self.texts([self.missing_text])])
        )

    def _as_double(self, name: str) -> str:
        from onnx import TensorProto

        return self.add("Cast", [name], to=TensorProto.DOUBLE)

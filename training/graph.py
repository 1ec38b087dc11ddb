"""An ONNX graph, whichever tool wrote it: what depends on what, and what it tells of its making."""

from collections.abc import Iterable

from onnx import GraphProto, ModelProto

CONVOLUTION = "Conv"


def forget_where_it_was_made(model: ModelProto) -> None:
    """Drop the notes that tools leave on each part: stack traces, with the paths of the machine."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values, *model.functions):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def name_nodes(graph: GraphProto) -> None:
    """Give every node without a name one of its own."""
    for place, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{place}"


def nodes_before(graph: GraphProto, values: Iterable[str]) -> set[str]:
    """Name the nodes that some values of the graph rest on, those that give them included."""
    maker_of = {output: node for node in graph.node for output in node.output}
    reached: set[str] = set()
    waiting = list(values)
    while waiting:
        node = maker_of.get(waiting.pop())
        if node is not None and node.name not in reached:
            reached.add(node.name)
            waiting.extend(node.input)
    return reached


def behind_convolutions(graph: GraphProto, *, leading_to: str) -> tuple[str, ...]:
    """Name the nodes that stand behind a convolution on the way to an output of the graph.

    The first convolution of each branch is none of them, nor is what only other outputs need.
    """
    on_the_way = nodes_before(graph, [leading_to])
    convolutions = {node.name for node in graph.node if node.op_type == CONVOLUTION}
    return tuple(
        node.name
        for node in graph.node
        if node.name in on_the_way and nodes_before(graph, node.input) & convolutions
    )

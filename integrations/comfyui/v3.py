"""Nodes for version 3 of ComfyUI's interface."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import ComfyExtension, io

from csgisnet.preview.methods import Control

from .table import CATEGORY, Node, Picture, nodes, step_of

_KINDS = {"IMAGE": io.Image, "MASK": io.Mask}


class Smoothing(ComfyExtension):  # type: ignore[misc]  # ComfyUI is optional
    """What ComfyUI asks for nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return a class for each node of the table."""
        return [_class_of(node) for node in nodes()]


async def comfy_entrypoint() -> Smoothing:
    """Return the extension; ComfyUI calls this."""
    return Smoothing()


def _class_of(node: Node) -> type[io.ComfyNode]:
    """Return a node as the class that ComfyUI expects."""

    class Made(io.ComfyNode):  # type: ignore[misc]
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id=node.node_id,
                display_name=node.title,
                category=CATEGORY,
                description=node.description,
                inputs=[*map(_wired, node.pictures), *map(_widget, node.controls)],
                outputs=[_KINDS[out.kind].Output(out.name, out.name) for out in node.outputs],
            )

        @classmethod
        def execute(cls, **inputs: Any) -> io.NodeOutput:
            return io.NodeOutput(*node.run(**inputs))

    Made.__name__ = Made.__qualname__ = node.node_id
    return Made


def _wired(picture: Picture) -> Any:
    return _KINDS[picture.kind].Input(picture.name, optional=picture.optional)


def _widget(control: Control) -> Any:
    if control.choices:
        return io.Combo.Input(control.name, options=list(control.choices), default=control.default)
    if control.whole:
        return io.Int.Input(
            control.name,
            default=int(control.default),
            min=int(control.low),
            max=int(control.high),
        )
    return io.Float.Input(
        control.name,
        default=float(control.default),
        min=control.low,
        max=control.high,
        step=step_of(control),
        round=False,  # defaults such as 10 / 255 stay what they are
    )

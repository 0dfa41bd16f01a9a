"""Nodes for ComfyUI from before version 3 of its interface."""

from __future__ import annotations

from typing import Any

from csgisnet.preview.methods import Control

from .table import CATEGORY, Node, nodes, step_of


def _class_of(node: Node) -> type:
    """Return a node as the class that ComfyUI expects."""

    class Made:
        RETURN_TYPES = tuple(out.kind for out in node.outputs)
        RETURN_NAMES = tuple(out.name for out in node.outputs)
        FUNCTION = "run"
        CATEGORY = CATEGORY
        DESCRIPTION = node.description

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802
            inputs: dict[str, dict[str, Any]] = {"required": {}, "optional": {}}
            for picture in node.pictures:
                kind = "optional" if picture.optional else "required"
                inputs[kind][picture.name] = (picture.kind,)
            inputs["required"] |= {control.name: _widget(control) for control in node.controls}
            return inputs

        def run(self, **inputs: Any) -> tuple[Any, ...]:
            return node.run(**inputs)

    Made.__name__ = Made.__qualname__ = node.node_id
    return Made


def _widget(control: Control) -> tuple[Any, dict[str, Any]]:
    if control.choices:
        return list(control.choices), {"default": control.default}
    limits = {"default": control.default, "min": control.low, "max": control.high}
    if control.whole:
        return "INT", {name: int(value) for name, value in limits.items()}
    return "FLOAT", {**limits, "step": step_of(control), "round": False}


NODE_CLASS_MAPPINGS = {node.node_id: _class_of(node) for node in nodes()}

NODE_DISPLAY_NAME_MAPPINGS = {node.node_id: node.title for node in nodes()}

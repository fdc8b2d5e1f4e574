"""Options that are what they should be are taken as they stand; only others are left to Typer's validators.

Before it the command line is put together, after it Typer reads it. Typer judges each value with pydantic, whose import
takes 90 ms, a quarter of a `plan`, to find that a text is a text. Where Typer is made differently by now nothing is
changed, and it only takes longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_origin


def take_plain_values() -> None:
    """Makes Typer ask pydantic only about values that are not plainly right."""
    from typer import core as module

    core: Any = module
    try:
        from typer._coercion import RuntimeParam, build_runtime_param
    except ImportError:
        return
    if getattr(core, "build_runtime_param", None) is not build_runtime_param:
        return  # done already, or Typer has another way

    @dataclass(frozen=True)
    class Plain(RuntimeParam):
        descriptor: Any

        def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
            found = plainly(self.annotation, self.parameter_info, value)
            return build_runtime_param(self.descriptor)._coerce_value(value, param, ctx) if found is None else found

    def build(descriptor: Any) -> Any:
        info, annotation = descriptor.parameter_info, descriptor.annotation
        return Plain(parameter_info=info, annotation=annotation, descriptor=descriptor)

    core.build_runtime_param = build


def plainly(annotation: Any, info: Any, value: Any) -> Any:
    """The value where it is of the type it should be, else None: then it has to be judged. None itself never comes."""
    if info.parser is not None:
        return None
    if get_origin(annotation) is list and isinstance(value, (list, tuple)):
        found = [plainly(get_args(annotation)[0], info, one) for one in value]
        return None if any(one is None for one in found) else found
    if annotation is str or annotation is bool:
        return value if type(value) is annotation else None
    if annotation is int and type(value) is int and not info.clamp:
        low, high = info.min, info.max
        return value if (low is None or low <= value) and (high is None or value <= high) else None
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(
            (one for one in annotation if value is one or (isinstance(value, str) and one.value == value)), None
        )
    return None

"""An extension of griffe, which reads docstrings for the reference: parameters as they are.

Where a docstring describes several parameters in one line, griffe gives all of them the type and
the default of the first, and of a choice ``{"a", "b"}`` it takes the first as the default.
"""

from __future__ import annotations

from typing import Any

import griffe


class OwnSignatures(griffe.Extension):
    """Shows each parameter with its own type and default."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Correct everything in a package that has been read."""
        _correct(pkg)


def _correct(found: griffe.Object) -> None:
    """Correct the parameters of something with members, and of these."""
    for member in found.members.values():
        if isinstance(member, griffe.Object):
            if isinstance(member, griffe.Function | griffe.Class) and member.docstring:
                _correct_tables(member.docstring, member.parameters)
            _correct(member)


def _correct_tables(docstring: griffe.Docstring, signature: griffe.Parameters) -> None:
    """Give the tables in a docstring what the signature says."""
    types = [parameter.annotation for parameter in signature if parameter.annotation is not None]
    for section in docstring.parsed:
        if not isinstance(section, griffe.DocstringSectionParameters):
            continue
        for row in section.value:
            if row.name in signature:
                row.value = signature[row.name].default
                if any(row.annotation is known for known in types):  # the docstring names none
                    row.annotation = signature[row.name].annotation

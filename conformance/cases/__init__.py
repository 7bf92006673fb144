# SPDX-License-Identifier: GPL-2.0-only
"""Cases: a probe, and how the tracer drives it. What is expected stands in ``expected/``.

A case never asserts a register's value: it drives, and the expectation file judges.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.doors import DOORS, OF_ABI, Door

if TYPE_CHECKING:
    from conformance.tracing.tracee import Trace


@dataclass(frozen=True, slots=True)
class Handler:
    """A signal's disposition in the program: a handler with those SA_ flags, or SIG_IGN.

    :param old: one without SA_SIGINFO, whose frame is another in a 32-bit program
    :param by_vdso: without SA_RESTORER: a 32-bit program's vDSO returns from it
    :param calls: it first makes the call that the site makes, too; its result is ``result[0]``
    """

    signo: int
    flags: int = 0
    ignore: bool = False
    old: bool = False
    by_vdso: bool = False
    calls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A program to launch: a site of ``cprobes/``, its registers, and its signals.

    :param site: label of the site that it enters
    :param setup: name of a preparation in C that runs before the site
    :param regs: registers at the site; the others hold a pattern of their own
    :param args: numbers for the setup, by its documentation in C
    :param text: a string for the setup, such as a path
    :param handlers: dispositions; everything else is default
    :param blocked: signals blocked from before the gate
    :param edits: what handlers write into sigcontext before they return: registers by name, and
        ``segments``, which are cs, gs, fs and ss, 16 bits each
    :param skip: handlers return to the site's end
    :param quit_after: the program exits in its n-th handler; 0 never
    :param other_cpu: run on another CPU than the tracer's
    :param results: names for the setup's results, in order, to be reported
    :param show: further fields of its handlers' frames: ``mask``, the one that they return to; and
        ``ds``, ``es``, ``fs``, ``gs``: a 32-bit program's have all of them, a 64-bit one's has the
        names of the last two
    :param door: by which it enters the kernel, if not by its case's
    """

    site: str
    setup: str | None = None
    regs: Mapping[str, int] = field(default_factory=dict)
    args: Sequence[int] = ()
    text: str = ""
    handlers: Sequence[Handler] = ()
    blocked: Sequence[int] = ()
    edits: Mapping[str, int] = field(default_factory=dict)
    skip: bool = False
    quit_after: int = 0
    other_cpu: bool = False
    results: Sequence[str] = ()
    show: Sequence[str] = ()
    door: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite.

    :param id: ``family.name``, stable for years; ``family.name.DOOR`` for a further door or ABI
    :param door: the instruction and code width by which the program enters the kernel
    :param covers: rows of the table of behaviours
    :param needs: names of boolean facts without which the case is skipped
    :param group: cases of one group never run at the same time (a device, a CPU)
    :param drive: drives the case; its docstring tells how
    """

    id: str
    abi: str
    door: str
    covers: tuple[int, ...]
    needs: tuple[str, ...]
    group: str | None
    drive: Callable[[Trace], None]

    @property
    def way(self) -> Door:
        """The door by which its programs make system calls."""
        return DOORS.get(self.door) or OF_ABI[self.abi]

    @property
    def family(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    @property
    def doc(self) -> str:
        """How the tracer drives it."""
        lines = (self.drive.__doc__ or "").strip().splitlines()
        return "\n".join(line.strip() for line in lines)


_registry: dict[str, Case] = {}


def case(
    name: str, *, door: str, covers: Sequence[int], abi: str = "", needs: Sequence[str] = (),
    group: str | None = None, also: Sequence[str] = (),
) -> Callable[[Callable[[Trace], None]], Callable[[Trace], None]]:  # fmt: skip
    """Register the function below as the case of that id.

    :param door: by which its programs enter the kernel: a name of `DOORS`, or ``none``
    :param abi: of its programs, where the door does not tell
    :param also: further doors at which the function is driven alike, as case ``name.DOOR``; if the
        door is ``none``, further ABIs
    :raises ValueError: the id is taken
    """

    def register(drive: Callable[[Trace], None]) -> Callable[[Trace], None]:
        for other in ("", *also):
            through = door if door == "none" else other or door
            of = (other if door == "none" else "") or abi
            of = of or (DOORS[through].abi if through in DOORS else "x86_64")
            id_ = f"{name}.{other}" if other else name
            if id_ in _registry:
                raise ValueError(f"two cases are named {id_}")
            way = DOORS.get(through) or OF_ABI[of]
            every = tuple(dict.fromkeys((*way.needs, *needs)))
            _registry[id_] = Case(id_, of, through, tuple(covers), every, group, drive)
        return drive

    return register


def all_cases() -> tuple[Case, ...]:
    """Every case, by id."""
    for family in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{family.name}")
    return tuple(_registry[name] for name in sorted(_registry))

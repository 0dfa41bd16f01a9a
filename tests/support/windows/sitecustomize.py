"""Hide from our packages what Python lacks on Windows. Python imports this file when it starts.

Only what our own modules import is changed: other packages know both systems, and the one that they
run on is Linux. Two habits of Windows hold for everybody, because they meet files through pathlib:
an open or mapped file is neither removed nor replaced.
"""

import builtins
import errno
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

OURS = ("vocsmooth", "csgisnet", "vocsmooth_cli")

ABSENT = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios"}
"""Modules that Windows lacks."""

HIDDEN = {
    "mmap": ("MAP_", "MADV_", "PROT_"),
    "os": (
        *("fork", "killpg", "mkfifo", "mknod", "nice", "posix_", "pread", "pwrite", "sched_"),
        *("setsid", "statvfs", "sync", "uname", "wait3", "wait4", "WNOHANG", "chown", "lchown"),
        *("getuid", "geteuid", "getgid", "getpgid", "getloadavg", "O_DIRECTORY", "O_NOFOLLOW"),
        *("O_NONBLOCK", "O_CLOEXEC", "O_SYNC", "sendfile"),
    ),
    "select": ("poll", "epoll", "devpoll", "kqueue"),
    "signal": (
        *("SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT"),
        *("SIGSTOP", "SIGTSTP", "SIGUSR", "SIG_BLOCK", "SIG_SETMASK", "SIG_UNBLOCK", "alarm"),
        *("pthread_", "setitimer", "getitimer", "sigwait", "siginterrupt", "pause"),
    ),
}
"""Beginnings of names that a module lacks on Windows."""


class OnWindows(types.ModuleType):
    """A module as our packages see it."""

    def __init__(self, real: types.ModuleType, **changed: Any) -> None:
        super().__init__(real.__name__)
        vars(self).update(_real=real, _changed=changed)

    def __getattr__(self, name: str) -> Any:
        if name in self._changed:
            return self._changed[name]
        if name.startswith(HIDDEN.get(self._real.__name__, ())):
            raise AttributeError(f"module {self._real.__name__!r} has no {name!r} on Windows")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def kill(process: int, number: int) -> None:
    raise AssertionError(f"os.kill({process}, {number}) ends the process on Windows")


def open_no_folder(path: Any, *rest: Any, **named: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return os.open(path, *rest, **named)


def as_windows(name: str) -> types.ModuleType:
    """Return what our packages get for a module that is not the same on Windows."""
    if name == "sys":
        return OnWindows(sys, platform="win32")
    if name == "os":
        return OnWindows(os, name="nt", kill=kill, open=open_no_folder)
    if name == "ctypes":
        import ctypes

        class Library(ctypes.CDLL):
            def __init__(self, name: Any, *rest: Any, **named: Any) -> None:
                if name is None:
                    raise TypeError("expected str, bytes or os.PathLike object, not NoneType")
                super().__init__(name, *rest, **named)

        return OnWindows(ctypes, CDLL=Library)
    return OnWindows(__import__(name))


def msvcrt() -> types.ModuleType:
    """Return a module that locks as Windows does: bytes of a file, from the current place on."""
    import fcntl

    def locking(descriptor: int, mode: int, count: int) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)
        except OSError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    module = types.ModuleType("msvcrt")
    vars(module).update(locking=locking, LK_NBLCK=2)
    return module


seen: dict[str, types.ModuleType] = {}


def import_as_on_windows(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> types.ModuleType:
    importer = str((globals or {}).get("__name__", "")).partition(".")[0]
    if importer not in OURS or level:
        found: types.ModuleType = original(name, globals, locals, fromlist, level)
        return found
    if name in ABSENT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    if name == "msvcrt":
        return seen.setdefault(name, msvcrt())
    found = original(name, globals, locals, fromlist, level)
    if found.__name__ in (*HIDDEN, "sys", "ctypes"):
        if found.__name__ not in seen:
            seen[found.__name__] = as_windows(found.__name__)
        return seen[found.__name__]
    return found


def is_in_use(path: Any) -> bool:
    """Return whether this process has a file open or mapped."""
    path = os.path.realpath(path)
    if not os.path.isfile(path):
        return False
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") == path:
                return True
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        return any(line.rstrip("\n").endswith(f" {path}") for line in maps)


def unless_in_use(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*paths: Any, **named: Any) -> Any:
        for path in paths:
            if isinstance(path, str | os.PathLike) and is_in_use(path):
                raise PermissionError(errno.EACCES, "is used by a process", os.fspath(path))
        return function(*paths, **named)

    return call


original: Any = builtins.__import__
builtins.__import__ = import_as_on_windows
for action in ("remove", "rename", "replace", "unlink"):
    setattr(os, action, unless_in_use(getattr(os, action)))

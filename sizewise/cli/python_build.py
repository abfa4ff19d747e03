"""How this Python was built, by the flags that it states: what is missing that makes it slow; unknown is no finding.

Needs the standard library alone and runs by itself: `make up` asks each Python, which exits with 1 if it is slow.
"""

from __future__ import annotations

import sys
import sysconfig


def slow_build() -> str:
    """What was left out of the build of this Python, or nothing if it is optimized or does not say.

    Debian and others optimize by other means than `configure`, and remove the profiling flags: theirs are not judged.
    """
    known = sysconfig.get_config_vars()
    configured, flags = str(known.get("CONFIG_ARGS") or ""), str(known.get("PY_CORE_CFLAGS") or "").split()
    if known.get("Py_DEBUG"):
        return "built for debugging (--with-pydebug)"
    levels = [flag for flag in flags if flag.startswith("-O")]
    if levels and levels[-1] in ("-O0", "-Og"):
        return f"compiled with {levels[-1]}"
    own = bool(configured) and bool(known.get("PGO_PROF_USE_FLAG")) and "'--prefix=/usr'" not in configured
    if own and "--enable-optimizations" not in configured and "-fprofile-use" not in flags:
        return "built without --enable-optimizations"
    return ""


if __name__ == "__main__":
    sys.exit(1 if slow_build() else 0)

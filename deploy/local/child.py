"""Becomes the program it is given, so that no program outlives the process that asked for it.

Run as a file by `deploy.local.process.launch`: PARENT DEATH_SIGNAL UID GID KEEP_FILE_ACCESS PROGRAM...
A separate step, because code between fork and exec is unsafe in a process that has threads.
"""

import ctypes
import os
import sys

_SET_DEATH_SIGNAL = 1
_KEEP_CAPABILITIES = 8
_AMBIENT, _AMBIENT_RAISE = 47, 2
_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522


def _become(uid: int, gid: int, keep_file_access: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if keep_file_access:
        libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep_file_access:
        # The only thing kept is passing folders that are closed to others, such as root's home.
        bit = 1 << _DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        libc.capset(header, data)
        libc.prctl(_AMBIENT, _AMBIENT_RAISE, _DAC_OVERRIDE, 0, 0)


def _main() -> None:
    parent, death_signal, uid, gid, keep_file_access = (int(value) for value in sys.argv[1:6])
    program = sys.argv[6:]
    if uid >= 0:
        _become(uid, gid, bool(keep_file_access))
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that asked for this program is gone")
    os.execv(program[0], program)  # noqa: S606 -- replacing this process without a shell is its whole purpose


_main()

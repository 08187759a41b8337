map_ids() {                 # mount_setattr(2) with MOUNT_ATTR_IDMAP; mount(8) can since 2.39
    python3 -I - "$1" "/proc/$SANDBOX/ns/user" <<'PYTHON'
import ctypes, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{sys.argv[1]}: {os.strerror(ctypes.get_errno())}")
    return result

tree = sys.argv[1].encode()
users = os.open(sys.argv[2], os.O_RDONLY)
copy = call(428, -100, tree, 0x8001)                                # open_tree, with all below
call(442, copy, b"", 0x9000, struct.pack("=4Q", 1 << 20, 0, 0, users), 32)     # mount_setattr
libc.umount2(tree, 2)
call(429, copy, b"", -100, tree, 4)                                 # move_mount to where it was
PYTHON
}

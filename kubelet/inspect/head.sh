#
# Written by `podium inspect --as-commands` from what Podium's runtime did when it made this
# container: a line for each operation that it recorded, in its order. Run it as root on that node
# (Debian 12: bash, util-linux, iproute2, python3; nftables for hostPorts). It makes a second
# container of the same image and volumes and runs the same command in it; it ends when that ends,
# or when it is interrupted, and removes all that it made. Volumes are the Pod's own: what one
# writes there the other sees.
# Not repeated: the log (what the command says goes to this terminal), a terminal of its own.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "this must be run as root" >&2; exit 1; }

NAME=by-hand-$$             # every cgroup and interface has a name of its own
RUN=$(mktemp -d "${TMPDIR:-/tmp}/$NAME.XXXXXX")
ROOT=$RUN/container/rootfs
CONTAINER= HOLDER= SANDBOX=

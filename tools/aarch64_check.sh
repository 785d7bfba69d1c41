#!/usr/bin/env bash
# Runs tests and focuses two fields on aarch64: debootstrap makes a Debian 12 arm64 root, and qemu emulates it. Prints the
# figures of the two fields next to those of the same command on this machine. Fails if a test fails or the figures
# differ. Not part of CI, because emulation is slow.
#     tools/aarch64_check.sh [PYTEST ARGUMENT ...]      default: tests/board tests/edge
# Needs root, debootstrap and qemu-user-static. `make aarch64-check` makes the .venv for the comparison. Packages come from
# the sources of apt and pip on this machine; MIRROR in the environment names another Debian mirror. The root, with its
# Python environment, is kept in build/aarch64, so later runs start at once; `make clean` removes it.
#
# The script runs in its own mount and process namespaces. Its mounts are not visible outside. Mounts and processes end
# with the script, even if it is killed.
set -euo pipefail

suite=bookworm
# Missing in a minimal Debian: Python, certificates for pip, and a C compiler for the test of the C header of the protocol.
packages=python3,python3-venv,ca-certificates,gcc,libc6-dev
cd "$(dirname "$0")/.."
cache=$PWD/build/aarch64
root=$cache/root
binfmt=/proc/sys/fs/binfmt_misc
focus=(parfocal focus --sim --fields 2 --seed 1 --json)
bin=$PWD/.venv/bin

fail() {
	echo "aarch64 check: $*" >&2
	exit 1
}

### Checks before anything is mounted

check_machine() {
	local program
	((EUID == 0)) || fail "chroot and mount need root. Run it as root: sudo make aarch64-check"
	for program in debootstrap qemu-aarch64-static unshare flock; do
		command -v "$program" >/dev/null ||
			fail "$program was not found. Install it: apt-get install debootstrap qemu-user-static util-linux"
	done
	[[ $(uname -m) != aarch64 ]] || fail "this machine is aarch64 itself. Run the tests without emulation: make test"
	[[ -x $bin/parfocal ]] || fail "parfocal is not installed in .venv. Run: make aarch64-check"
	unshare --mount --pid --fork true 2>/dev/null ||
		fail "this machine cannot create namespaces. Run it on a real or virtual machine, or in a privileged container."
}

### Mounts and the emulator

mounted=() # in the order of mounting
handler=   # our entry in binfmt_misc
log=       # log of the current step

mount_at() { # mount_at TARGET ARGUMENT ...
	mount "${@:2}" "$1" || return
	mounted+=("$1")
}

leave() {
	local status=$? i
	trap - EXIT INT TERM
	if ((status != 0)) && [[ -n $log ]]; then
		tail -n 20 "$log" >&4
		echo "aarch64 check: this step failed. Its whole output: ${log#"$PWD"/}" >&4
	fi
	[[ -z $handler ]] || echo -1 >"$handler" || true
	for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
		# The lazy form also works while a leftover process uses the mount.
		umount --recursive "${mounted[i]}" 2>/dev/null || umount --recursive --lazy "${mounted[i]}" || true
	done
	exit "$status"
}

# Registers our own entry, whatever is registered already. Flag F: the kernel opens the emulator now, so it does not have
# to be in the root.
register_emulator() {
	local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
	local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
	local name emulator
	name=parfocal-aarch64-$(date +%s%N)
	emulator=$(command -v qemu-aarch64-static)
	modprobe --quiet binfmt_misc 2>/dev/null || true # built in on some kernels
	if ! { mount_at "$binfmt" -t binfmt_misc binfmt_misc &&
		echo ":$name:M::$magic:$mask:$emulator:F" >"$binfmt/register"; } 2>/dev/null; then
		fail "qemu cannot be registered with binfmt_misc. Run it where the kernel has binfmt_misc (modprobe" \
			"binfmt_misc) and root may mount it: on a real or virtual machine, or in a privileged container."
	fi
	handler=$binfmt/$name
}

# OpenVINO reads the processors from /proc and /sys, and crashes without them. Files about the network and pip of this
# machine are bind-mounted, or in the tmpfs of /run, so none of them is kept in the root.
mount_root() {
	local file
	mount_at "$root/proc" -t proc proc
	mount_at "$root/sys" --rbind /sys
	mount_at "$root/dev" --rbind /dev
	mount_at "$root/run" -t tmpfs tmpfs
	for file in /etc/resolv.conf /etc/hosts; do
		touch "$root$file"
		mount_at "$root$file" --bind "$file"
	done
}

### The content of the root

debian_mirror() {
	if [[ -n ${MIRROR:-} ]]; then
		echo "$MIRROR"
		return
	fi
	# -security has only updates, so no root can be made from it.
	apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 !~ /-security/ && $3 ~ /^(https?|file):/ && !n++ { print $3 }' || true
}

# Makes it under another name first, so an incomplete root is never used.
make_root() {
	local mirror=$1 proxy=
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	[[ -z $proxy || $proxy == DIRECT ]] || export http_proxy=$proxy
	rm -rf --one-file-system "$root.part" "$root"
	debootstrap --arch=arm64 --variant=minbase --force-check-gpg --include="$packages" "$suite" "$root.part" "$mirror"
	rm -f "$root.part"/var/cache/apt/archives/*.deb
	echo "$suite $packages" >"$root.part/srv/made-of"
	mv "$root.part" "$root"
}

inside() { # inside FOLDER COMMAND ...
	local name proxies=()
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		[[ -z ${!name:-} ]] || proxies+=("$name=${!name}")
	done
	env -i HOME=/root LANG=C.UTF-8 PATH=/srv/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin XDG_CACHE_HOME=/run/cache \
		PIP_CONFIG_FILE=/run/pip.conf PIP_CACHE_DIR=/var/cache/pip "${proxies[@]}" \
		chroot "$root" sh -c 'cd "$0" && exec "$@"' "$@"
}

# Tracked and new files, without ignored and deleted ones. The checkout may belong to another user.
copy_tree() {
	local file
	rm -rf --one-file-system "$root/srv/parfocal"
	mkdir -p "$root/srv/parfocal"
	git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do
			[[ ! -e $file && ! -L $file ]] || printf '%s\0' "$file"
		done | tar --create --null --files-from=- | tar --extract --no-same-owner --directory="$root/srv/parfocal"
}

# Writes a pip.conf for the root, with the package sources of pip on this machine. Prints the files and folders in it,
# which the root sees under /run/host.
pip_config() { # pip_config FILE
	"$bin/python" - "$1" <<'PYTHON'
import ast
import os
import subprocess
import sys

WHERE = {
    "cert", "client-cert", "constraint", "default-timeout", "extra-index-url", "find-links", "index-url", "no-index",
    "proxy", "retries", "timeout", "trusted-host",
}
said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
settings = {}
for line in said.stdout.splitlines():
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    if key in WHERE:
        settings[section, key] = ast.literal_eval(value).split()

chosen = {}
for section in ("global", "install", ":env:"):  # a later one overrides
    chosen |= {key: words for (where, key), words in settings.items() if where == section}

paths = set()
with open(sys.argv[1], "w", encoding="utf-8") as conf:
    print("[global]", file=conf)
    for key, words in chosen.items():
        for i, word in enumerate(words):
            path = word.removeprefix("file://")
            if path.startswith("/") and os.path.exists(path):
                # An index refers to the files beside it.
                paths.add(os.path.dirname(path.rstrip("/")) if key.endswith("index-url") else path)
                words[i] = word.removesuffix(path) + "/run/host" + path
        print(key, "=", "\n\t".join(words), file=conf)
print("\n".join(sorted(paths)))
PYTHON
}

# Installs like the Makefile.
install() {
	local paths path
	paths=$(pip_config "$root/run/pip.conf")
	for path in $paths; do
		mkdir -p "$root/run/host${path%/*}"
		if [[ -d $path ]]; then mkdir -p "$root/run/host$path"; else touch "$root/run/host$path"; fi
		mount_at "$root/run/host$path" --bind -o ro "$path"
	done
	inside /srv/parfocal python3 -m venv --clear /srv/venv
	inside /srv/parfocal python -m pip install --disable-pip-version-check --no-input --progress-bar off \
		--constraint requirements.lock --editable '.[test]'
	cat requirements.lock pyproject.toml >"$root/srv/installed"
}

### The checks

# Both run in an empty folder with an empty cache, so neither reads a configuration or an engine of this machine.
focus_here() { (
	rm -rf "$cache/host"
	mkdir -p "$cache/host"
	cd "$cache/host"
	unset PYTHONPATH
	XDG_CACHE_HOME=$PWD/cache "$bin/${focus[0]}" "${focus[@]:1}" "$cache/host.json"
); }

focus_inside() {
	mkdir "$root/run/fields"
	inside /run/fields "${focus[@]}" result.json
	cp "$root/run/fields/result.json" "$cache/aarch64.json"
}

# Prints both summaries side by side. Fails if a figure differs by more than 0.001: the last bits depend on the processor.
compare() { # compare AARCH64.json HOST.json
	"$bin/python" - "$@" <<'PYTHON'
import json
import pathlib
import sys


def agree(one: object, other: object) -> bool:
    both = isinstance(one, int | float) and isinstance(other, int | float)
    return abs(one - other) <= 0.001 if both else one == other


inside, here = (json.loads(pathlib.Path(name).read_text(encoding="utf-8"))["summary"] for name in sys.argv[1:])
print(f"\n{'':24}{'aarch64':>14}{'this machine':>14}")
for name in here:
    row = [f"{value:.6f}" if isinstance(value, float) else str(value) for value in (inside[name], here[name])]
    print(f"{name:24}{row[0]:>14}{row[1]:>14}{'' if agree(inside[name], here[name]) else '   differs'}")
if not all(agree(inside[name], here[name]) for name in here):
    sys.exit("\naarch64 check: the figures differ. See every field in build/aarch64/aarch64.json and host.json.")
PYTHON
}

### The steps

times=()
TIMEFORMAT="%0R %0U %0S"

note_time() { # note_time NAME: records what `time` has just written
	local elapsed user system
	read -r elapsed user system < <(tail -n 1 "$cache/time")
	times+=("$(printf '%6d s  (%d s of CPU)  %s' "$elapsed" $((user + system)) "$1")")
}

step() { # step NAME COMMAND ...: the output goes to a log
	log=$cache/${1// /-}.log
	echo "$1 ..."
	{ time "${@:2}" >"$log" 2>&1; } 2>"$cache/time"
	log=
	note_time "$1"
}

main() {
	if [[ ${1:-} != --in-namespace ]]; then
		check_machine
		mkdir -p "$cache"
		exec 9>"$cache/lock"
		flock --nonblock 9 || fail "another run is using build/aarch64. Wait until it ends."
		exec unshare --mount --pid --fork --kill-child --mount-proc "$PWD/tools/aarch64_check.sh" --in-namespace "$@"
	fi
	shift
	(($#)) || set -- tests/board tests/edge

	local mirror tests=0 figures=0
	exec 4>&2
	trap leave EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	register_emulator
	if ! echo "$suite $packages" | cmp --quiet - "$root/srv/made-of"; then
		mirror=$(debian_mirror)
		[[ -n $mirror ]] ||
			fail "apt's sources name no Debian mirror. Run apt-get update, or: make aarch64-check MIRROR=URL"
		step "debian root" make_root "$mirror"
	fi
	mount_root
	step "copy of the tree" copy_tree
	if ! cat requirements.lock pyproject.toml | cmp --quiet - "$root/srv/installed"; then
		step "python environment" install
	fi

	echo "pytest $* ..."
	{ time inside /srv/parfocal python -m pytest -p no:cacheprovider --durations=10 "$@" 2>&4; } 2>"$cache/time" ||
		tests=$?
	note_time "pytest $*"
	step "two fields on aarch64" focus_inside
	step "two fields on this machine" focus_here

	compare "$cache/aarch64.json" "$cache/host.json" || figures=$?
	echo
	printf '%s\n' "${times[@]}"
	((tests == 0)) || fail "the tests failed on aarch64 (pytest ended with $tests)"
	exit "$figures"
}

# Called at the end, so that bash has read the whole file: it may be edited while the check runs.
main "$@"

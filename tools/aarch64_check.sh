#!/usr/bin/env bash
# Runs tests and focuses three fields on aarch64: debootstrap makes a Debian 12 arm64 root, and qemu emulates it. Then the
# same fields are focused on this machine and compared: decisions, heights and what the model said. Fails if a test fails
# or the fields differ by more than the limits of `compare`. Not part of CI, because emulation is slow.
#     tools/aarch64_check.sh [PYTEST ARGUMENT ...]      default: see `tests` below
# Needs root, debootstrap and qemu-user-static. `make aarch64-check` makes the .venv for the comparison. Packages come from
# the sources of apt and pip on this machine; MIRROR in the environment names another Debian mirror. The root, with its
# Python environment, is kept in build/aarch64, so later runs start at once; `make clean` removes it. Packages are put
# into the root by the pip of this machine: an emulated pip needs half an hour for them.
#
# The script runs in its own mount and process namespaces. Its mounts are not visible outside. Mounts and processes end
# with the script, even if it is killed.
set -euo pipefail

suite=bookworm
# Missing in a minimal Debian: Python, and a C compiler for the test of the C header of the protocol.
packages=python3,python3-venv,ca-certificates,gcc,libc6-dev
cd "$(dirname "$0")/.."
top=$PWD
cache=$top/build/aarch64
root=$cache/root
binfmt=/proc/sys/fs/binfmt_misc
focus=(focus --sim --fields 3 --seed 1 --config fields.toml --json)
# What depends on the processor: wire layout, arithmetic of pictures, rules; and the script of `make flash`. The tests of
# engines import onnxruntime, which crashes under qemu; OpenVINO, which the product uses, predicts in the comparison.
tests=(tests/board/wire tests/board/motion tests/calib/motion tests/edge/focus/judging tests/edge/focus/picture
	tests/tools/test_deploy.py)
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
	[[ -x $bin/python ]] || fail "parfocal is not installed in .venv. Run: make aarch64-check"
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

# OpenVINO reads the processors from /proc and /sys, and crashes without them. The root has no network.
mount_root() {
	mount_at "$root/proc" -t proc proc
	mount_at "$root/sys" --rbind /sys
	mount_at "$root/dev" --rbind /dev
	mount_at "$root/run" -t tmpfs tmpfs
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
	env -i HOME=/root LANG=C.UTF-8 PATH=/srv/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin XDG_CACHE_HOME=/run/cache \
		OPENBLAS_NUM_THREADS=1 chroot "$root" sh -c 'cd "$0" && exec "$@"' "$@"
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

# What `.[test]` requires on aarch64: pip evaluates markers for the machine that it runs on.
requirements() { # requirements PYTHON_VERSION
	"$bin/python" - "$1" <<'PYTHON'
import sys

from packaging.requirements import Requirement

try:
    import tomllib
except ImportError:
    import tomli as tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
there = {"platform_machine": "aarch64", "python_version": sys.argv[1]}
for text in [*project["dependencies"], *(one for extra in ("demo", "test") for one in project["optional-dependencies"][extra])]:
    one = Requirement(text)
    if one.name != "parfocal" and (one.marker is None or one.marker.evaluate(there)):
        one.marker = None
        print(one)
PYTHON
}

install() {
	local version site platforms=() glibc
	inside / python3 -m venv --without-pip --clear /srv/venv
	version=$(inside / python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	site=$root/srv/venv/lib/python$version/site-packages
	for glibc in 17 27 28 31 34 35 36; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
	requirements "$version" >"$cache/requirements.txt"
	"$bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile \
		--constraint requirements.lock --only-binary=:all: --implementation cp --python-version "$version" \
		--abi "cp${version/./}" --abi abi3 --abi none "${platforms[@]}" --platform manylinux2014_aarch64 \
		--target "$site" --requirement "$cache/requirements.txt"
	cat requirements.lock pyproject.toml >"$root/srv/installed"
}

### The checks

# A small camera and a short first sweep: an emulated processor renders for a minute what this one does in a second.
small_microscope() { # small_microscope FOLDER
	rm -rf "$1"
	mkdir -p "$1"
	cat >"$1/fields.toml" <<-TOML
		[camera]
		width_px = 704
		height_px = 704
		[focus]
		first_sweep_start_um = 2450.0
		first_sweep_stop_um = 2500.0
	TOML
}

# Both run in a folder of their own with an empty cache, so neither reads an engine of this machine.
focus_here() { (
	small_microscope "$cache/host"
	cd "$cache/host"
	PYTHONPATH=$top XDG_CACHE_HOME=$PWD/cache XDG_DATA_HOME=$PWD/data \
		"$bin/python" -m parfocal "${focus[@]}" "$cache/host.json"
); }

focus_inside() {
	small_microscope "$root/run/fields"
	inside /run/fields env PYTHONPATH=/srv/parfocal python -m parfocal "${focus[@]}" result.json
	cp "$root/run/fields/result.json" "$cache/aarch64.json"
}

# Decisions must be the same. The last bits depend on the processor, so what the model says may differ by 0.02 um, and a
# height by the one motor step to which that may round.
compare() { # compare AARCH64.json HOST.json
	"$bin/python" - "$@" <<'PYTHON'
import json
import pathlib
import sys

STEP_UM, MODEL_UM = 0.3125, 0.02
inside, here = (json.loads(pathlib.Path(name).read_text(encoding="utf-8"))["fields"] for name in sys.argv[1:])


def attempts(field):
    return {(one["z1_um"], one["z2_um"]): one for one in field["attempts"]}


# A prediction that lies half-way between two steps may be rounded to either one. Then the last shots, and the fields
# that begin where this one ended, are taken elsewhere: what was said is compared where the shots are the same.
wrong, is_same_way, n_same = len(inside) != len(here), True, 0
print(f"\n{'field':8}{'outcome':>12}{'images':>8}{'aarch64 z':>12}{'here z':>12}{'same shots':>12}{'model apart':>14}")
for number, (there, one) in enumerate(zip(inside, here), start=1):
    theirs, ours = attempts(there), attempts(one)
    same = [(theirs[at], ours[at]) for at in theirs if at in ours]
    n_same += len(same)
    said_um = [(a, b) for x, y in same for a, b in zip(x["predictions_um"], y["predictions_um"])]
    apart_um = max((abs(a - b) for a, b in said_um), default=0.0)
    away_um = abs(there["z_um"] - one["z_um"])
    is_same_way = is_same_way and theirs.keys() == ours.keys() and away_um == 0.0
    bad = (
        there["outcome"] != one["outcome"]
        or any((x["rule"], x["believed"]) != (y["rule"], y["believed"]) for x, y in same)
        or apart_um > MODEL_UM
        or away_um > STEP_UM + 1e-6
        or (is_same_way and there["images"] != one["images"])
    )
    wrong = wrong or bad
    figures = f"{there['z_um']:12.4f}{one['z_um']:12.4f}{len(same):12}{apart_um:11.6f} um"
    print(f"{number:<8}{there['outcome']:>12}{there['images']:8}{figures}{'   differs' if bad else ''}")
if not n_same:
    sys.exit("\naarch64 check: no two shots were taken at the same heights, so nothing could be compared.")
if wrong:
    sys.exit("\naarch64 check: the fields differ. See every field in build/aarch64/aarch64.json and host.json.")
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
	(($#)) || set -- "${tests[@]}"

	local mirror failed=0 figures=0
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
		failed=$?
	note_time "pytest $*"
	step "fields on aarch64" focus_inside
	step "fields on this machine" focus_here

	compare "$cache/aarch64.json" "$cache/host.json" || figures=$?
	echo
	printf '%s\n' "${times[@]}"
	((failed == 0)) || fail "the tests failed on aarch64 (pytest ended with $failed)"
	exit "$figures"
}

# Called at the end, so that bash has read the whole file: it may be edited while the check runs.
main "$@"

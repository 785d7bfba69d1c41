#!/bin/sh
# Carries parfocal to a device and installs it there: `make flash DEVICE=user@host`, or DEVICE=local for this machine.
# Builds the wheel here. Where the device reaches no package index, every wheel that it needs is fetched here for its
# Python and processor and carried along. What install.sh says comes back. Arguments after the device go to install.sh.
# SSH names another ssh command ("ssh -p 2222 -i key"), PIP another pip.
set -eu

device=${1:?usage: flash.sh user@host | local [ARGUMENT OF install.sh ...]}
shift
top=$(cd "$(dirname "$0")/../.." && pwd)
ssh=${SSH:-ssh}
pip=${PIP:-$top/.venv/bin/python -m pip}
load=$(mktemp -d)
trap 'rm -rf "$load"' EXIT

say() { echo "flash: $*"; }
fail() {
	echo "flash: $*" >&2
	exit 1
}

on_device() { # on_device COMMAND: a shell command on the device
	if [ "$device" = local ]; then sh -c "$1"; else $ssh "$device" "$1"; fi
}

say "building the wheel"
$pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$load" "$top" || fail "the wheel was not built"
cp "$top/requirements.lock" "$top"/tools/deploy/install.sh "$top"/tools/deploy/60-parfocal.rules "$load"

python=$(on_device 'for p in ${PYTHON:-python3}; do $p -c "import sys, platform
print(sys.version_info[0], sys.version_info[1], platform.machine(), platform.libc_ver()[1])"; done') ||
	fail "no answer from $device, or no python3 there"
# shellcheck disable=SC2086 # four words
set -- "$@" && read -r major minor machine libc <<WORDS
$python
WORDS
say "$device has Python $major.$minor on $machine, glibc ${libc:-unknown}"

offline=''
if ! on_device '${PYTHON:-python3} -c "
import sys, urllib.request
try: urllib.request.urlopen(sys.argv[1], timeout=8)
except Exception: sys.exit(1)" https://pypi.org/simple/msgspec/' 2>/dev/null; then
	say "$device reaches no package index: fetching every wheel for it"
	platforms=''
	for tag in manylinux2014 manylinux_2_17 manylinux_2_27 manylinux_2_28 manylinux_2_31 manylinux_2_34 manylinux_2_35; do
		case $tag in
		manylinux_2_*)
			[ -z "$libc" ] || [ "${tag#manylinux_2_}" -le "${libc#*.}" ] || continue
			;;
		esac
		platforms="$platforms --platform ${tag}_$machine"
	done
	mkdir "$load/wheels"
	# shellcheck disable=SC2086 # words
	$pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version "$major.$minor" \
		--implementation cp --abi "cp$major$minor" --abi abi3 --abi none $platforms \
		--constraint "$top/requirements.lock" --dest "$load/wheels" "$load"/parfocal-*.whl ||
		fail "the wheels for $device were not found"
	offline='--wheels wheels'
fi

arguments="--wheel $(basename "$load"/parfocal-*.whl) --constraint requirements.lock $offline $*"
if [ "$device" = local ]; then
	(cd "$load" && sh -c "sh install.sh $arguments")
else
	say "carrying $(du -sh "$load" | cut -f1) to $device"
	# shellcheck disable=SC2016 # expanded on the device
	tar -C "$load" -cf - . | on_device 'rm -rf ~/.cache/parfocal-flash && mkdir -p ~/.cache/parfocal-flash && tar -C ~/.cache/parfocal-flash -xf -'
	on_device "cd ~/.cache/parfocal-flash && sh install.sh $arguments; status=\$?; cd && rm -rf ~/.cache/parfocal-flash; exit \$status"
fi

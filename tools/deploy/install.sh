#!/bin/sh
# Installs parfocal for this user, beside the version that is there, and switches to it once it has focused a field:
#     install.sh --wheel FILE [--wheels FOLDER] [--constraint FILE] [--no-engines]
#     install.sh --back     the version before
#     install.sh --undo     remove everything that this script has installed
# `make flash DEVICE=user@host` carries this folder to a device and runs it there. --wheels: everything comes from that
# folder, nothing from a network. Each version has a folder with an environment of its own; `current` points to the one
# in use. A failure before the switch leaves the version in use as it is. Environment: PARFOCAL_HOME is where versions
# lie (default ~/.local/share/parfocal/versions), PARFOCAL_BIN where the command is linked (~/.local/bin), PYTHON the
# interpreter (python3), RULES the folder of udev rules (/etc/udev/rules.d).
set -eu

home=${PARFOCAL_HOME:-$HOME/.local/share/parfocal/versions}
bin=${PARFOCAL_BIN:-$HOME/.local/bin}
python=${PYTHON:-python3}
rules=${RULES:-/etc/udev/rules.d}
here=$(cd "$(dirname "$0")" && pwd)
wheel='' wheels='' constraint='' engines=yes action=install
rule=60-parfocal.rules
brltty=85-brltty.rules

say() { echo "parfocal: $*"; }
fail() {
	echo "parfocal: $*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--wheel) wheel=$2 && shift 2 ;;
	--wheels) wheels=$2 && shift 2 ;;
	--constraint) constraint=$2 && shift 2 ;;
	--no-engines) engines=no && shift ;;
	--back) action=back && shift ;;
	--undo) action=undo && shift ;;
	*) fail "unknown argument $1. See the first lines of $0." ;;
	esac
done

# --- root, where it is needed and allowed

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		return 1
	fi
}

is_of_system() { [ "$rules" = /etc/udev/rules.d ]; }

reload_rules() {
	is_of_system || return 0
	command -v udevadm >/dev/null || return 0
	as_root udevadm control --reload 2>/dev/null && as_root udevadm trigger 2>/dev/null || true
}

# --- which version is in use

in_use() { readlink "$home/current" 2>/dev/null || true; }

switch_to() { # switch_to NAME: at once or not at all
	before=$(in_use)
	rm -f "$home/current.new"
	ln -s "$1" "$home/current.new"
	mv -T "$home/current.new" "$home/current"
	[ -z "$before" ] || [ "$before" = "$1" ] || echo "$before" >"$home/previous"
	mkdir -p "$bin"
	ln -sfn "$home/current/bin/parfocal" "$bin/parfocal"
}

back() {
	[ -f "$home/previous" ] || fail "there is no version before this one. Nothing was changed."
	previous=$(cat "$home/previous")
	[ -x "$home/$previous/bin/parfocal" ] || fail "the version before, $previous, is gone. Nothing was changed."
	switch_to "$previous"
	say "back at $previous; once more returns to $(cat "$home/previous")"
}

undo() {
	case $(readlink "$bin/parfocal" 2>/dev/null || true) in
	"$home"/*) rm -f "$bin/parfocal" && say "removed $bin/parfocal" ;;
	esac
	if [ -d "$home" ]; then
		rm -rf "$home"
		say "removed $home"
	fi
	for file in "$rule" "$brltty"; do
		if [ -f "$rules/$file" ] && grep -q 'install.sh' "$rules/$file"; then
			if as_root rm -f "$rules/$file"; then
				say "removed $rules/$file"
			else
				say "left to you, as root: rm $rules/$file"
			fi
		fi
	done
	reload_rules
	say "kept: calibrations in ~/.local/share/parfocal, engines in ~/.cache/parfocal, your parfocal.toml"
}

# --- installing

made=''
forget() { # a failure leaves the version in use as it is
	status=$?
	trap - EXIT INT TERM
	if [ $status -ne 0 ] && [ -n "$made" ]; then
		rm -rf "$made"
		if [ -n "$(in_use)" ]; then
			say "not installed; $(in_use) is in use as before" >&2
		else
			say "not installed; nothing was left behind" >&2
		fi
	fi
	exit $status
}

check_python() {
	command -v "$python" >/dev/null || fail "no $python here. Install Python 3.10 or later, or name one in PYTHON."
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
		fail "$("$python" --version) is too old: parfocal needs 3.10 or later. Name another one in PYTHON."
	"$python" -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$python cannot make environments. Install its venv: apt-get install python3-venv"
}

pip_install() { # pip_install WHAT ...
	if [ -n "$wheels" ]; then
		set -- --no-index --find-links "$wheels" "$@"
	fi
	if [ -n "$constraint" ]; then
		set -- --constraint "$constraint" "$@"
	fi
	"$made/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

make_environment() {
	# TensorRT comes with JetPack, never from pip: only then does the environment see the system's packages.
	if "$python" -c 'import sys, importlib.util as u; sys.exit(u.find_spec("tensorrt") is None)'; then
		"$python" -m venv --system-site-packages "$made"
		say "TensorRT found: the environment sees the packages of the system"
	else
		"$python" -m venv "$made"
	fi
	pip_install "$wheel" || fail "installing $(basename "$wheel") failed"
	if grep -q '^include-system-site-packages = true' "$made/pyvenv.cfg"; then
		PATH=$PATH:/usr/local/cuda/bin pip_install pycuda ||
			say "pycuda was not built (it wants nvcc): predictions run on the CPU"
	fi
}

# A field of drawn cells, focused on the virtual microscope: software, model and engine work on this machine.
focus_one_field() (
	cd "$made"
	bin/python - <<'PY'
import cv2
import numpy as np

rng = np.random.default_rng(1)
picture = np.full((1400, 1400, 3), 235, np.float32)
for _ in range(2600):
    centre, radius = rng.integers(0, 1400, 2), int(rng.integers(4, 14))
    colour = rng.uniform((90, 40, 90), (190, 120, 170))
    cv2.circle(picture, tuple(int(c) for c in centre), radius, tuple(map(float, colour)), -1, cv2.LINE_AA)
cv2.imwrite("check.png", picture.astype(np.uint8))
PY
	bin/parfocal focus --sim --slide check.png --um-per-px 0.5 --fields 1 --json check.json >check.txt 2>&1 || {
		tail -n 5 check.txt >&2
		exit 1
	}
	grep -E '^1 field' check.txt || true
)

install_rules() {
	sed '2a # (install.sh)' "$here/$rule" >"$made/$rule"
	if [ -f "$rules/$rule" ] && cmp -s "$made/$rule" "$rules/$rule"; then
		say "udev rules are there: $rules/$rule"
	elif as_root install -D -m 644 "$made/$rule" "$rules/$rule" 2>/dev/null; then
		say "udev rules: $rules/$rule"
	else
		mkdir -p "$home/to-do"
		cp "$made/$rule" "$home/to-do/$rule"
		say "left to you, as root: install -m 644 $home/to-do/$rule $rules/ && udevadm control --reload"
	fi
	# brltty of Ubuntu 22.04 takes CH340 and CP210x for braille displays; a copy of its rules without these two goes first.
	for packaged in /usr/lib/udev/rules.d/$brltty /lib/udev/rules.d/$brltty; do
		if [ -f "$packaged" ] && grep -Eq '1a86/7523|10c4/ea60' "$packaged"; then
			{
				echo '# install.sh of parfocal: the rules of brltty without CH340 and CP210x'
				grep -Ev '1a86/7523|10c4/ea60' "$packaged"
			} >"$made/$brltty"
			if as_root install -D -m 644 "$made/$brltty" "$rules/$brltty" 2>/dev/null; then
				say "brltty keeps off serial adapters: $rules/$brltty"
			else
				say "left to you, as root: apt-get remove brltty (it takes CH340 and CP210x adapters for itself)"
			fi
			break
		fi
	done
	reload_rules
	is_of_system || return 0
	groups=$(id -nG)
	for group in dialout video; do
		case " $groups " in
		*" $group "*) ;;
		*)
			if [ "$(id -u)" != 0 ] && getent group $group >/dev/null; then
				if as_root usermod -aG $group "$(id -un)" 2>/dev/null; then
					say "you are in the group $group from the next login on"
				else
					say "left to you, as root: usermod -aG $group $(id -un)"
				fi
			fi
			;;
		esac
	done
}

install_version() {
	[ -f "$wheel" ] || fail "no wheel: give --wheel FILE"
	check_python
	mkdir -p "$home"
	name=$(basename "$wheel" | cut -d- -f2)-$(sha256sum "$wheel" | cut -c1-8)
	if [ "$(in_use)" = "$name" ]; then
		say "$name is in use already; installing it anew beside itself"
		name=$name-$(date +%H%M%S)
	fi
	made=$home/$name
	rm -rf "$made"
	trap forget EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	say "installing $name with $("$python" --version) into $made"
	make_environment
	"$made/bin/parfocal" --version >/dev/null || fail "parfocal does not start"
	say "focusing one field on the virtual microscope"
	focus_one_field || fail "the virtual microscope did not focus"
	if [ $engines = yes ]; then
		say "building engines for this machine (minutes)"
		(cd "$made" && bin/parfocal engine build >engines.txt 2>&1) ||
			{ tail -n 5 "$made/engines.txt" >&2 && fail "building engines failed"; }
	fi
	before=$(in_use)
	switch_to "$name"
	made=$home/$name
	trap - EXIT INT TERM
	install_rules
	for old in "$home"/*/; do # the version before stays, older ones go
		old=$(basename "$old")
		case $old in "$name" | "$before" | current | to-do) ;; *) rm -rf "${home:?}/$old" ;; esac
	done
	say "installed: $bin/parfocal is $("$bin/parfocal" --version)"
	case ":$PATH:" in *":$bin:"*) ;; *) say "add it to the path: export PATH=$bin:\$PATH" ;; esac
	cp "$0" "$home/install.sh" && cp "$here/$rule" "$home/$rule"
	say "what doctor says:"
	(cd "$HOME" && "$bin/parfocal" doctor) || true
	[ -z "$before" ] || say "back to $before: sh $home/install.sh --back"
	say "undo everything: sh $home/install.sh --undo"
}

case $action in
install) install_version ;;
back) back ;;
undo) undo ;;
esac

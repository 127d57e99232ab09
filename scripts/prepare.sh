# Installs what this machine lacks for `make demo`, `make test` and `make bench`.
# Sourced by ./demo, ./test and the Makefile.
#
# Everything comes from the distribution's own packages; only where it has no cargo of at least
# CARGO_MINIMUM is rustup used. Nothing that is there already is replaced, with one exception that
# `prepare` tells, and no command is run as root when nothing is missing. POSIX sh, because a bare
# machine may have nothing else.

CARGO_MINIMUM=1.85

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least MAJOR.MINOR[...] MAJOR.MINOR: is the first version not below the second?
at_least() {
    first_major=${1%%.*} first_rest=${1#*.}
    second_major=${2%%.*} second_rest=${2#*.}
    first_minor=${first_rest%%.*} second_minor=${second_rest%%.*}
    [ "$first_major" -gt "$second_major" ] ||
        { [ "$first_major" -eq "$second_major" ] && [ "$first_minor" -ge "$second_minor" ]; }
}

# cargo_in DIRECTORY: does it hold a working cargo, and rustc, of our minimum version?
cargo_in() {
    [ -x "$1/cargo" ] && [ -x "$1/rustc" ] || return 1
    cargo_version=$("$1/cargo" --version 2>/dev/null | cut -d ' ' -f 2)
    rustc_version=$("$1/rustc" --version 2>/dev/null | cut -d ' ' -f 2)
    [ -n "$cargo_version" ] && [ -n "$rustc_version" ] || return 1
    at_least "$cargo_version" "$CARGO_MINIMUM" && at_least "$rustc_version" "$CARGO_MINIMUM"
}

# Puts the directory of the first good cargo at the front of PATH.
find_cargo() {
    saved_ifs=$IFS
    IFS=:
    for directory in $PATH "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/bin; do
        IFS=$saved_ifs
        if cargo_in "$directory"; then
            PATH=$directory:$PATH
            export PATH
            return 0
        fi
    done
    IFS=$saved_ifs
    return 1
}

# Names a Python of at least 3.11 that can make a virtual environment.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            PYTHON=$candidate
            export PYTHON
            return 0
        fi
    done
    return 1
}

# A file of a package that brings no command: library or module.
have_file() {
    for path in /usr/lib/*/"$1" /usr/lib/"$1" /usr/lib64/"$1" /lib/*/"$1"; do
        [ -e "$path" ] && return 0
    done
    return 1
}

# want COMMAND PACKAGE...: adds the packages when the command is missing.
want() {
    command=$1
    shift
    have "$command" || missing="$missing $*"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root: $* (run it as root, or install sudo)"
    fi
}

apt_install() {
    have apt-get || die "missing: $* (no apt-get here: install them by your system's own means)"
    say "== installing:$(printf ' %s' "$@")"
    if [ -z "${apt_is_updated:-}" ]; then
        as_root apt-get -q update >&2
        apt_is_updated=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends install "$@" >&2
}

# candidate PACKAGE: the version apt would install, or nothing.
candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9][0-9.]*\).*/\1/p'
}

install_cargo() {
    if have apt-get; then
        as_root apt-get -q update >&2
        apt_is_updated=yes
        for package in cargo-web cargo; do
            version=$(candidate "$package")
            if [ -n "$version" ] && at_least "$version" "$CARGO_MINIMUM"; then
                apt_install "$package" ca-certificates
                find_cargo && return 0
            fi
        done
    fi
    have curl || apt_install curl ca-certificates
    say "== installing Rust by rustup (no package of cargo >= $CARGO_MINIMUM here)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --profile minimal --component clippy,rustfmt --no-modify-path >&2
    find_cargo
}

# The linters of the cargo found: packages of the same origin, or rustup components.
install_rust_linters() {
    cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 && return 0
    if dpkg -s cargo-web >/dev/null 2>&1 && [ "$(command -v cargo)" = /usr/bin/cargo ]; then
        apt_install rust-web-clippy rustfmt-web
    elif have rustup; then
        rustup component add clippy rustfmt >&2
    else
        apt_install rust-clippy rustfmt
    fi
}

# look_for demo|test|bench: names in $missing the packages of what the goal needs and is not there.
look_for() {
    missing=
    want make make
    want cc gcc libc6-dev
    have_file crt1.o || missing="$missing libc6-dev"
    want iscsi-perf libiscsi-bin
    want qemu-img qemu-utils
    have_file qemu/block-iscsi.so || missing="$missing qemu-block-extra"
    find_python || missing="$missing python3 python3-venv"
    if [ "$1" = test ]; then
        want c++ g++
        want fusermount3 fuse3
        have_file libfuse3.so.3 || missing="$missing libfuse3-3"
        PATH=$PATH:/usr/sbin want mkfs.xfs xfsprogs
        PATH=$PATH:/usr/sbin want mke2fs e2fsprogs
        [ "$(uname -m)" != x86_64 ] || want qemu-system-x86_64 qemu-system-x86
    fi
    have_file libiscsi.so || missing="$missing libiscsi-dev"
    if [ "$1" = bench ]; then
        [ -x /usr/sbin/tgtd ] || want tgtd tgt
        have perf || want strace strace
        want addpart util-linux
        PATH=$PATH:/usr/sbin:/sbin want losetup mount
    fi
}

# prepare demo|test|bench: installs what the goal needs, sets PATH and PYTHON, or ends the script.
prepare() {
    goal=$1
    # Twice: qemu's block drivers fit one version of qemu-img, so where that came from elsewhere
    # (backports), installing them takes it away, and the second look brings the one they fit.
    for _ in first second; do
        look_for "$goal"
        # shellcheck disable=SC2086  # a list of words
        [ -z "$missing" ] || apt_install $missing
    done
    look_for "$goal"
    [ -z "$missing" ] || die "still missing after installing:$missing"
    find_python || die "no Python >= 3.11 with the modules venv and ensurepip"
    find_cargo || install_cargo || die "no cargo >= $CARGO_MINIMUM; see https://rustup.rs"
    [ "$goal" != test ] || install_rust_linters
}

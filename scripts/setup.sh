# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sourced by scripts/patchbed, scripts/test and scripts/bench: sets the host up once.
# Afterwards a call costs a checksum of three small files.

# Messages go to standard error: standard output belongs to the command's own result.
say() { printf 'patchbed: %s\n' "$*" >&2; }

missing_packages() {
  local wanted installed line package
  wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$project/scripts/packages.txt")
  # shellcheck disable=SC2086 # one word a package
  installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' ${wanted//|/ } 2>/dev/null |
    sed -n 's/^ii //p')
  while IFS= read -r line; do
    for package in ${line//|/ }; do
      ! grep -qxF -- "$package" <<<"$installed" || continue 2
    done
    # shellcheck disable=SC2086
    printf '%s ' "$(first_known ${line//|/ })"
  done <<<"$wanted"
}

# Of packages of which one will do, the first that apt knows.
first_known() {
  local package
  for package; do
    if [ $# -eq 1 ] || apt-cache show "$package" >/dev/null 2>&1; then
      printf '%s' "$package"
      return
    fi
  done
  printf '%s' "$1"
}

install_packages() {
  local missing as_root=()
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian system; scripts/packages.txt lists what has to be there, and patchbed doctor looks"
    return 0
  fi
  missing=$(missing_packages)
  [ -n "${missing// /}" ] || return 0
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  local line="${as_root[*]:+${as_root[*]} }apt-get install --yes --no-install-recommends $missing"
  say "missing Debian packages: $missing"
  if [ "$install" = no ]; then
    say "not installed, because of --no-install; install them with:"
    printf '%s\n' "$line"
    exit 3
  fi
  say "installing them: $line"
  # Package lists may be older than the archive, or not there at all.
  if ! { DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get update &&
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install --yes \
      --no-install-recommends $missing; } >&2; then
    say "the packages could not be installed; install them by hand, then call this again:"
    say "  $line"
    exit 3
  fi
}

make_environment() {
  local python=/usr/bin/python3 venv="$project/.venv" site
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    python=$(command -v python3)
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or later is needed; $python is older"
    exit 3
  fi
  say "making .venv from requirements.lock"
  if ! { "$python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
      --require-hashes --requirement "$project/requirements.lock"; } >&2; then
    say "the Python packages could not be installed; is the package index reachable?"
    exit 3
  fi
  # The project is found through a .pth file, so that nothing is built or copied.
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  printf '%s\n' "$project" > "$site/patchbed.pth"
}

set_up() {
  local stamp="$project/.venv/.patchbed-stamp" now
  now=$(cd "$project" && cksum scripts/packages.txt scripts/setup.sh requirements.lock)
  [ -x "$project/.venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && return 0
  # Two first calls at once: one sets up, the other waits for it.
  exec 9>"$project/.setup.lock"
  if ! flock --nonblock 9; then
    say "waiting for another set-up of $project"
    flock 9
  fi
  if [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]; then
    rm -f "$stamp"
    install_packages
    make_environment
    printf '%s\n' "$now" > "$stamp"
  fi
  exec 9>&-
}

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
install=yes
# Compiled modules, a fifth of a second a call, are kept out of the sources.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$project/.venv/pycache

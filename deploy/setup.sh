#!/bin/sh
# Makes this checkout ready to run: Python packages in .venv, compiled codecs, Kafka's jars.
# Run it again at any time: it goes on where it stopped and does nothing when nothing changed.
#
#   deploy/setup.sh            set up; as root on Debian or Ubuntu it installs missing Java, Maven or venv itself
#   deploy/setup.sh --no-apt   set up, but never install system packages
#   deploy/setup.sh --check    only say what is missing (exit code 1), change nothing
#   deploy/setup.sh --jdk      also see to a Java compiler (the Kafka Streams peer of `make bench` needs one)
set -eu

UV=0.13.8
apt=yes check=no jdk=no
for option in "$@"; do
    case $option in
        --no-apt) apt=no ;;
        --check) check=yes apt=no ;;
        --jdk) jdk=yes ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- what the machine must offer ---------------------------------------------------------------------------

usable_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if have "$candidate" && usable_python "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
}

find_java() {  # the interpreter, when it is 17 or newer
    java=${JAVA_HOME:+$JAVA_HOME/bin/}java
    version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || version=
    if [ "${version:-0}" -ge 17 ] 2>/dev/null; then printf '%s' "$java"; fi
}

jars_present() {
    ls "${WATCHFLOOR_JARS:-.watchfloor/lib/kafka-4.1.1}"/kafka_*.jar >/dev/null 2>&1
}

look() {  # sets `missing` (words for people) and `packages` (names in Debian and Ubuntu)
    missing= packages=
    python=$(find_python)
    if [ -z "$python" ]; then
        missing="$missing
  - Python 3.11 or newer with its venv module"
        packages="$packages python3 python3-venv"
    fi
    if [ -z "$(find_java)" ]; then
        missing="$missing
  - Java 17 or newer (runs the embedded Kafka broker)"
        packages="$packages JAVA-jre-headless"
    fi
    if [ $jdk = yes ] && ! have javac; then
        missing="$missing
  - a Java compiler, javac (builds the Kafka Streams peer)"
        packages="$packages JAVA-jdk-headless"
    fi
    if ! have mvn && { [ $jdk = yes ] || ! jars_present; }; then
        missing="$missing
  - Maven, mvn (fetches Kafka)"
        packages="$packages maven"
    fi
}

java_package() {  # the newest long-term release that this distribution has
    for version in 21 17 25; do
        if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
            printf 'openjdk-%s' "$version"
            return
        fi
    done
    printf 'default'
}

how_to_install() {
    if have apt-get; then
        printf 'apt-get update && apt-get install -y --no-install-recommends%s\n' \
            "$(printf '%s' "$packages" | sed "s/JAVA/$(java_package)/g")"
    elif have dnf; then
        printf 'dnf install python3.12 java-21-openjdk-headless maven\n'
    elif have brew; then
        printf 'brew install python@3.12 openjdk@21 maven\n'
    else
        printf 'install them with the package manager of this system and put them on PATH\n'
    fi
}

look
if [ -n "$missing" ]; then
    say "this machine lacks:$missing"
    if [ $apt = yes ] && have apt-get && [ "$(id -u)" = 0 ]; then
        say "installing them with apt-get"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq </dev/null
        # Slim images leave this folder out, and Java's package stumbles over it.
        mkdir -p /usr/share/man/man1 2>/dev/null || true
        # shellcheck disable=SC2086 # a list of names
        apt-get install -y -qq --no-install-recommends \
            $(printf '%s' "$packages" | sed "s/JAVA/$(java_package)/g") </dev/null >/dev/null
        look
    fi
    if [ -n "$missing" ]; then
        say "still missing:$missing"
        say "nothing was set up. Install what is missing, as root, with:"
        say "  $(how_to_install)"
        say "and run this again."
        exit 1
    fi
fi
if [ $check = yes ]; then
    say "nothing is missing"
    exit 0
fi

# ---- one set-up at a time ----------------------------------------------------------------------------------

if have flock; then
    exec 9>.setup.lock
    flock -n 9 || { say "another set-up runs here; waiting for it"; flock 9; }
fi

# ---- Python packages, exactly those of the lock file -------------------------------------------------------

digest() { cat "$@" | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
done_already() { [ "$(cat ".venv/stamp-$1" 2>/dev/null)" = "$2" ]; }

if [ -e .venv ] && ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "the environment in .venv is broken; making it again"
    rm -rf .venv
fi
if [ ! -e .venv ]; then
    say "making the environment in .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
wanted=$(digest requirements.lock)
if ! done_already packages "$wanted"; then
    say "installing the Python packages of requirements.lock (about 1 GB)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV"
    # Where pip was pointed to a mirror or a certificate, uv goes there, too.
    index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || :)}}
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
    if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi
    if ! .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python requirements.lock; then
        say "uv did not get through; trying again with pip, which takes longer"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    fi
    rm -f .venv/stamp-build
    printf '%s\n' "$wanted" >.venv/stamp-packages
fi

# ---- Watchfloor itself, with compiled codecs where a compiler is -------------------------------------------

sources=$(find schemas models streams sinks -name '*.pyx' | LC_ALL=C sort)
# shellcheck disable=SC2086 # a list of files
wanted=$(digest pyproject.toml setup.py $sources)
if ! done_already build "$wanted"; then
    say "building and installing Watchfloor in place"
    find schemas models streams sinks -name '_compiled*.so' -exec rm -f {} +
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
        >.venv/build.log 2>&1 || { cat .venv/build.log; exit 1; }
    for source in $sources; do
        module=$(printf '%s' "${source%.pyx}" | tr / .)
        if ! .venv/bin/python -c "import $module" 2>/dev/null; then
            say "$module could not be compiled (C compiler and Python headers: apt-get install gcc libc6-dev" \
                "python3-dev): its plain Python twin is used, which is slower"
        fi
    done
    printf '%s\n' "$wanted" >.venv/stamp-build
fi

# ---- Kafka -------------------------------------------------------------------------------------------------

if ! jars_present; then
    say "fetching Kafka's jars (45 MB)"
    .venv/bin/python -m watchfloor.embedded.jars
fi

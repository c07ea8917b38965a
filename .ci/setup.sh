# shellcheck shell=bash disable=SC2034 # the package lists are for those who source this
# setup.sh - what quickstart, run-tests and .ci/run share: Debian packages, the build, running
# the tests and counting them. To be sourced by bash, from the top of the source tree.

# What building and testing needs on Debian 12 and 13.
vmoe_build_packages=(gcc libc6-dev meson ninja-build pkg-config python3
    libdnnl-dev libjpeg-dev libpng-dev libarchive-dev libjansson-dev libinih-dev zlib1g-dev)
vmoe_test_packages=(check groff-base)
# Tests are skipped, and say so, where these cannot be had: documents against their schemas, and
# MPI, for jobs of several ranks.
vmoe_schema_packages=(python3-jsonschema)
vmoe_mpi_packages=(libopenmpi-dev openmpi-bin)
vmoe_mpich_packages=(libmpich-dev mpich)

say()
{
    printf '%s\n' "== $*" >&2
}

# need PACKAGE...: installs those that are missing, and nothing when none is.
# VMOE_PACKAGES=no: you have seen to it yourself (or this is no Debian).
need()
{
    local missing=() package as_root=()

    [ "${VMOE_PACKAGES:-yes}" != no ] || return 0
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "no apt-get here. Install what these Debian packages hold: $*"
        say "then start again with VMOE_PACKAGES=no $0"
        return 1
    fi
    for package; do
        # One word for each architecture that dpkg knows of the package.
        case " $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null)" in
        *" installed "*) ;;
        *) missing+=("$package") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "packages are missing, and only root can install them. As root:"
            say "    apt-get update && apt-get install ${missing[*]}"
            return 1
        fi
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get -q update >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
            --no-install-recommends "${missing[@]}" >&2 && return 0
    say "apt-get could not install ${missing[*]}"
    return 1
}

# want PACKAGE...: the same, but goes on without.
want()
{
    need "$@" || say "going on without $*"
}

# notice_mpi FOLDER: looks again for an MPI that was installed since the folder was set up.
notice_mpi()
{
    if { pkg-config --exists ompi-c && [ ! -e "$1/mesh/vmoe-mesh-openmpi.so" ]; } ||
        { pkg-config --exists mpich && [ ! -e "$1/mesh/vmoe-mesh-mpich.so" ]; }; then
        meson setup --reconfigure "$1" >&2
    fi
}

# configure FOLDER [MESON OPTION...]: sets a build folder up, or changes the options of one.
configure()
{
    local folder=$1
    shift
    if [ -e "$folder/build.ninja" ]; then
        meson configure "$folder" "$@" >&2 && notice_mpi "$folder"
    else
        say "setting up $folder"
        meson setup "$folder" "$@" >&2
    fi
}

# build FOLDER [TARGET...]
build()
{
    local folder=$1
    shift
    say "building in $folder"
    ninja -C "$folder" "$@" >&2
}

# run_suites FOLDER [ARGUMENT OF MESON TEST...]: runs the tests, names what was skipped and
# ends with "N passed, N failed" on stdout. Succeeds when none failed.
run_suites()
{
    local folder=$1
    shift
    # Threads that wait should sleep: two programs run at a time.
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
    # The larger test material, for those who have it beside the source tree.
    if [ -z "${VMOE_SHARED:-}" ] && [ -d ../shared/golden ]; then
        VMOE_SHARED=$(cd ../shared && pwd)
        export VMOE_SHARED
    fi
    rm -f "$folder/meson-logs/testlog.json"
    meson test -C "$folder" --no-rebuild --print-errorlogs "$@"
    .ci/count-tests "$folder/meson-logs/testlog.json"
}

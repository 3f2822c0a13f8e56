#!/bin/sh
# Runs Nginx with the configuration that the reloader offers: `sh gateway-run.sh FOLDER [nginx command, default nginx]`.
#
#   FOLDER/next/nginx.conf  the offer; it is removed once it is accepted or refused
#   FOLDER/nginx.conf       the running configuration; it has passed `nginx -t`
#   FOLDER/refused.conf     the last configuration that did not pass; Nginx's errors are in FOLDER/refused.log
#
# It may be killed between any two commands: files are replaced in one step and the offer is removed last, so the next
# run repeats unfinished work. Accepting an offer twice costs one reload. SIGTERM and SIGQUIT let the streams end.
set -u
umask 077
mkdir -p "$1/next" && cd "$1" || exit 1
folder=$(pwd)
shift
[ $# -gt 0 ] || set -- nginx

nginx=
stopping=
trap 'stopping=yes' TERM QUIT

pause() { # SECONDS; a signal interrupts it
    sleep "$1" &
    wait $!
}

# Tests a file in nginx.conf's folder, so that relative paths mean the same. A refused file becomes refused.conf.
passes() { # FILE COMMAND...
    file=$1
    shift
    "$@" -t -q -c "$folder/$file" -g 'daemon off;' >candidate.log 2>&1 && return
    status=$?
    cat candidate.log >&2
    [ "$status" -eq 1 ] || return "$status" # killed or not found: says nothing about the file
    mv -f candidate.log refused.log
    mv -f "$file" refused.conf
    return 1
}

takes_requests() { # PID of a worker
    grep -qs '^nginx: ' "/proc/$1/cmdline" && ! grep -qs 'is shutting down' "/proc/$1/cmdline"
}

# Returns once no worker with the old configuration takes requests: until then the offer is not removed. A kernel
# without CONFIG_PROC_CHILDREN does not list the workers; there it returns at once.
reload() {
    old=$(cat "/proc/$nginx/task/$nginx/children" 2>/dev/null)
    kill -HUP "$nginx" || return
    tries=0
    for worker in $old; do
        while takes_requests "$worker"; do
            tries=$((tries + 1))
            if [ -n "$stopping" ] || [ "$tries" -ge 100 ]; then break 2; fi
            pause 0.1
        done
    done
    [ "$tries" -lt 100 ] || echo "gateway-run.sh: a worker still has the old configuration" >&2
}

accept_offer() { # COMMAND...
    [ -f next/nginx.conf ] || return
    cp next/nginx.conf candidate.conf || return
    if passes candidate.conf "$@"; then
        mv -f candidate.conf nginx.conf || return
        [ -z "$nginx" ] || reload
    elif [ -f candidate.conf ]; then
        return
    fi
    rm -f next/nginx.conf
}

# If the script of an earlier run was killed, its Nginx may still have the ports. In a container there is none.
grep -ls '^nginx: master process ' /proc/[0-9]*/cmdline | while read -r file; do
    if grep -qsF -- " -c $folder/nginx.conf " "$file"; then
        file=${file#/proc/}
        kill -QUIT "${file%/cmdline}"
    fi
done

# A crash of the machine can leave half a file.
[ ! -f nginx.conf ] || passes nginx.conf "$@"
until [ -f nginx.conf ]; do
    [ -z "$stopping" ] || exit 0
    accept_offer "$@"
    [ -f nginx.conf ] || pause 0.5
done

rm -f ./*.sock # left by a killed Nginx; a new one would find them "in use"
"$@" -c "$folder/nginx.conf" -g 'daemon off;' &
nginx=$!
while kill -0 "$nginx" 2>/dev/null; do
    # Before its process title is "master process", SIGHUP would end Nginx and SIGQUIT would be ignored.
    if grep -qs '^nginx: master process ' "/proc/$nginx/cmdline"; then
        if [ -n "$stopping" ]; then kill -QUIT "$nginx"; else accept_offer "$@"; fi
    fi
    pause 0.5
done
wait "$nginx"

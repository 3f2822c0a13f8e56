#!/bin/sh
# Runs Nginx with what the reloader offers: `sh gateway-run.sh FOLDER [nginx command, default nginx]`.
#
#   FOLDER/next/nginx.conf  the offer; it disappears once it is taken or refused
#   FOLDER/nginx.conf       what Nginx runs with: it has passed `nginx -t`
#   FOLDER/refused.conf     the last text that did not pass; Nginx's words are in FOLDER/refused.log
#
# It may be killed between any two commands: a file appears whole, and the offer goes last, so that what was begun
# is done again. Taking a text twice costs one reload. SIGTERM and SIGQUIT let the streams end.
set -u
umask 077
mkdir -p "$1/next" && cd "$1" || exit 1
folder=$(pwd)
shift
[ $# -gt 0 ] || set -- nginx

nginx=
stopping=
trap 'stopping=yes' TERM QUIT

pause() { # a signal ends it
    sleep 0.5 &
    wait $!
}

# Asks Nginx about a file that lies beside nginx.conf, so that relative paths mean the same. What it refuses is put aside.
passes() { # FILE COMMAND...
    file=$1
    shift
    "$@" -t -q -c "$folder/$file" -g 'daemon off;' >candidate.log 2>&1 && return
    status=$?
    cat candidate.log >&2
    [ "$status" -eq 1 ] || return "$status" # killed or not found: no word about the file
    mv -f candidate.log refused.log
    mv -f "$file" refused.conf
    return 1
}

take() { # COMMAND...
    [ -f next/nginx.conf ] || return
    cp next/nginx.conf candidate.conf || return
    if passes candidate.conf "$@"; then
        mv -f candidate.conf nginx.conf || return
        [ -z "$nginx" ] || kill -HUP "$nginx"
    elif [ -f candidate.conf ]; then
        return
    fi
    rm -f next/nginx.conf
}

# An Nginx of an earlier run whose script was killed holds the ports; a container never has one.
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
    take "$@"
    [ -f nginx.conf ] || pause
done

rm -f ./*.sock # an Nginx that was killed left them, and they would be "in use" for ever
"$@" -c "$folder/nginx.conf" -g 'daemon off;' &
nginx=$!
while kill -0 "$nginx" 2>/dev/null; do
    # Before its title says "master process", SIGHUP would end Nginx and SIGQUIT be lost.
    if grep -qs '^nginx: master process ' "/proc/$nginx/cmdline"; then
        if [ -n "$stopping" ]; then kill -QUIT "$nginx"; else take "$@"; fi
    fi
    pause
done
wait "$nginx"

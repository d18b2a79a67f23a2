#!/bin/sh
# Stands in for an archiver where only types are checked: makes the empty archive that a build script then looks for.
for argument; do
    case $argument in
        -out:* | /OUT:* | /out:*) : > "${argument#*:}" ;;
    esac
done

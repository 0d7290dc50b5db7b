# Sourced by the recipes. $RUN is the folder of a run.

sled() { # sled COMMAND FLAGS...
    "${PYTHON:-python}" -m sled "$@"
}

stage() { # stage NAME COMMAND...: run the command once, and write down how long it took
    local name=$1 start=$SECONDS
    shift
    [ -f "$RUN/stages/$name" ] && return
    echo "== $name"
    "$@"
    echo "$((SECONDS - start)) s" | tee "$RUN/stages/$name"
}

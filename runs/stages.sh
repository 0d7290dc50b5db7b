# Sourced by the recipes. $RUN is the folder of a run.

stage() { # stage NAME COMMAND...: run the command once, and note how long it took
    local name=$1 start=$SECONDS
    shift
    [ -f "$RUN/stages/$name" ] && return
    echo "== $name"
    "$@"
    echo "$((SECONDS - start)) s" | tee "$RUN/stages/$name"
}

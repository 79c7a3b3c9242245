# What login.fan does, where there is no picture yet: it is written anew.
timeout 2min
pace 50ms

wait stable:10s
type "root\n"
wait change
wait stable:10s
type "fanlight\n"
wait change
wait stable:10s
type "echo \"$USER on $TERM: $((6 * 7))\"\n"
wait change
wait stable:10s
dump screen.png

type "exit\n"
wait change

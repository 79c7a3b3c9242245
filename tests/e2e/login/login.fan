# Logs in at a text console and runs a command. The prompts are parts of the picture of what is there at the end.
timeout 2min
pace 50ms

# "fanlight login: "
wait region:0,16,128,16:match:screen.png
type "root\n"
# "Password: "
wait region:0,32,80,16:match:screen.png
type "fanlight\n"
# "~ # "
wait region:0,48,32,16:match:screen.png
type "echo \"$USER on $TERM: $((6 * 7))\"\n"
wait change
wait stable:3s
expect screen.png

type "exit\n"
wait change

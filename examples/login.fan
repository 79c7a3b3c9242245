# Logs in at the console of a Linux guest, looks around, and switches it off:
#   fanlight script examples/login.fan qemu:my-vm --timeout 5min

layout us

wait stable:500ms            # it has booted, and asks who is there
type "root\n"
wait change within 10s       # it asks for the password
type "correct horse\n"
wait stable:500ms
type "uname -a; df -h\n"
wait stable:500ms
dump logged-in.png           # beside this file
type "poweroff\n"
wait gone

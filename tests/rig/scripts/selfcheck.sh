for node in /dev/udmabuf /dev/dri/renderD128; do
    if [ -c "$node" ]; then echo "node: $node"; fi
done
weston --backend=headless --renderer=gl --debug --no-config --idle-time=0 --logger-scopes=log,gl-renderer --log=/tmp/weston.log \
    -- /fanlight/target/rig/debug/selfcheck
status=$?
cat /tmp/weston.log
exit $status

#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests, all of it in one folder (needs root, slurm-wlm and munge):
#   tests/slurm.sh start FOLDER    starts munged, slurmctld and slurmd; then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/slurm.sh stop FOLDER
set -euo pipefail

folder=$(realpath -m "${2:?usage: tests/slurm.sh start|stop FOLDER}")
export SLURM_CONF=$folder/slurm.conf

fail() { echo "$*" >&2; exit 1; }

# Jobs first: slurmd waits for those that it has begun to end, and they for the controller.
stop() {
    timeout 5 scancel --quiet --user="$(id -un)" 2> /dev/null || true
    for _ in $(seq 40); do
        [ -z "$(timeout 5 squeue --noheader 2> /dev/null)" ] && break
        sleep 0.5
    done
    for name in slurmd slurmctld munged; do
        pid=$(cat "$folder/$name.pid" 2> /dev/null) || continue
        kill "$pid" 2> /dev/null || continue
        for _ in $(seq 20); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.5
        done
        kill -9 "$pid" 2> /dev/null || true
    done
}

start() {
    for name in slurmctld slurmd sinfo munged; do
        command -v $name > /dev/null || fail "$name is not installed: apt-get install slurm-wlm munge"
    done
    [ "$(id -u)" = 0 ] || fail "slurmd starts jobs as their users and must be started as root"
    mkdir -p "$folder"/{state,spool,munge}
    dd if=/dev/urandom of="$folder/munge/key" bs=64 count=16 status=none
    chmod 400 "$folder/munge/key"
    # --force: as root, since no other user may look into a temporary folder
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" || fail "munged did not start"

    port=$(shuf -i 20000-30000 -n 1)
    host=$(hostname -s)
    cat > "$SLURM_CONF" << END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=60 State=UP
END
    slurmctld || fail "slurmctld did not start: $folder/slurmctld.log"
    slurmd || fail "slurmd did not start: $folder/slurmd.log"
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] && { echo "export SLURM_CONF=$SLURM_CONF"; return; }
        sleep 0.5
    done
    tail -n 20 "$folder"/slurm*.log >&2
    fail "the node did not become idle within 30 s"
}

case $1 in
    start) trap '[ $? = 0 ] || stop' EXIT; start ;;
    stop) stop ;;
    *) fail "usage: tests/slurm.sh start|stop FOLDER" ;;
esac

#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for tests: all in one folder, and a link to it from /etc/slurm/slurm.conf.
# (SLURM_CONF is not enough: the plugin's jobs lose it on the node.) As root.
#   tests/cluster/slurm.sh install           Debian's slurm-wlm and munge, where this is root and they are not there
#   tests/cluster/slurm.sh start FOLDER      refuses where this machine has a Slurm of its own
#   tests/cluster/slurm.sh stop FOLDER
# The node claims 32 processors, 128 GB and 2 GPUs, whatever the machine has, so that jobs run side by side. The GPUs are
# copies of /dev/null: Slurm counts them and sets CUDA_VISIBLE_DEVICES. A job that takes more memory than it asked for is killed.
# There is no accounting: sacct fails, as on a site without slurmdbd.
set -euo pipefail
export PATH=$PATH:/usr/sbin
unset SLURM_CONF
SITE=/etc/slurm

install() {
  command -v slurmctld slurmd munged sbatch > /dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "slurmctld, slurmd or munged is not there; as root on Debian: apt-get install slurm-wlm munge" >&2
    exit 1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends slurm-wlm munge > /dev/null
}

start() {
  if [ -e "$SITE/slurm.conf" ] && [ ! -L "$SITE/slurm.conf" ]; then
    echo "$SITE/slurm.conf: this machine has a Slurm of its own; the tests leave it alone" >&2
    exit 1
  fi
  mkdir -p "$SITE" "$1"/{state,spool,gpu}
  local folder user host
  folder=$(cd "$1" && pwd)
  user=$(id -un)
  host=$(hostname -s)
  chmod 755 "$folder"
  [ -f "$folder/munge.key" ] || { umask 077; head -c 1024 /dev/urandom > "$folder/munge.key"; umask 022; }
  for gpu in 0 1; do
    [ -c "$folder/gpu/nvidia$gpu" ] || mknod "$folder/gpu/nvidia$gpu" c 1 3
  done
  cat > "$folder/gres.conf" << END
NodeName=$host Name=gpu File=$folder/gpu/nvidia[0-1]
END
  cat > "$folder/slurm.conf" << END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=32 RealMemory=128000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
  ln -sfn "$folder/slurm.conf" "$folder/gres.conf" "$SITE/"
  munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --seed-file="$folder/munged.seed" --log-file="$folder/munged.log" --num-threads=2
  slurmctld
  slurmd
  for _ in $(seq 60); do
    if sinfo --noheader --states=idle 2> /dev/null | grep -q "$host"; then
      return
    fi
    sleep 0.5
  done
  echo "the node did not come up; see $folder/slurmctld.log and slurmd.log" >&2
  exit 1
}

stop() {
  local name pid
  for name in slurmd slurmctld munged; do
    pid=$(cat "$1/$name.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 40); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.25
    done
  done
  if [ "$(readlink "$SITE/slurm.conf")" = "$(cd "$1" && pwd)/slurm.conf" ]; then
    rm "$SITE/slurm.conf" "$SITE/gres.conf"
  fi
}

case "${1:-} $#" in
  "install 1") install ;;
  "start 2") start "$2" ;;
  "stop 2") stop "$2" ;;
  *) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac

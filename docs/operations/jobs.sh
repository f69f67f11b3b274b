# Commands of the platform as Jobs beside an Exchange, for backups, restores and checks. For bash, with kubectl.
#
#   NAMESPACE=trading EXCHANGE=demo
#   . docs/operations/jobs.sh
#
#   exchange_job demo-list backup list                  # a Job of that name that runs `exchange backup list`
#   core_volume ubscore 0 10Gi                          # an empty volume for shard 0, as its pod will look for it
#   core_job demo-ubscore-0 ubscore 0 backup restore --core ubscore-0 --data-dir /data      # with that volume at /data
#   save_keys FOLDER                                    # secret.key and credentials.json, which no backup has
#   bring_keys FOLDER                                   # and back into the Secret
#
# A Job is made from the CronJob of `spec.backup`: it has the Exchange's settings, Secrets and network. MEMORY=4Gi in
# front of a command gives it more memory than the CronJob has.

_job() { # NAME PATCH ARGUMENT...
    local name=$1 patch=$2 arguments
    shift 2
    arguments=$(printf '"%s",' "$@")
    patch+="{\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": [${arguments%,}]}"
    if [ -n "${MEMORY:-}" ]; then
        patch+=", {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/resources/limits/memory\", \"value\": \"$MEMORY\"}"
    fi
    kubectl -n "$NAMESPACE" create job "$name" --from="cronjob/$EXCHANGE-backup" --dry-run=client -o json |
        kubectl patch --local -f - --type=json -p "[$patch]" -o json |
        kubectl -n "$NAMESPACE" create -f -
}

_follow() { # NAME: its output, and whether it went well
    local pods="pods -l batch.kubernetes.io/job-name=$1" until=$((SECONDS + 600))
    # Whose container has not begun yet has nothing to be followed.
    until [[ $(kubectl -n "$NAMESPACE" get $pods -o jsonpath='{.items[*].status.phase}') =~ Running|Succeeded|Failed ]]; do
        if ((SECONDS > until)); then
            echo "Job $1 does not begin. See: kubectl -n $NAMESPACE describe $pods" >&2
            return 1
        fi
        sleep 0.5
    done
    kubectl -n "$NAMESPACE" logs -f "job/$1"
    kubectl -n "$NAMESPACE" wait "job/$1" --for=condition=Complete --timeout=2m
}

exchange_job() { # NAME ARGUMENT...
    _job "$1" "" "${@:2}" && _follow "$1"
}

core_job() { # NAME COMPONENT SHARD ARGUMENT...
    local mount volume
    volume="{\"name\": \"data\", \"persistentVolumeClaim\": {\"claimName\": \"data-$EXCHANGE-$2-$3\"}}"
    mount='{"name": "data", "mountPath": "/data"}'
    _job "$1" "{\"op\": \"add\", \"path\": \"/spec/template/spec/volumes/-\", \"value\": $volume},
               {\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/volumeMounts/-\", \"value\": $mount}," \
        "${@:4}" && _follow "$1"
}

core_volume() { # COMPONENT SHARD SIZE [STORAGE_CLASS]
    kubectl -n "$NAMESPACE" apply -f - <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data-$EXCHANGE-$1-$2
  labels:
    app.kubernetes.io/name: exchange
    app.kubernetes.io/instance: $EXCHANGE
    app.kubernetes.io/component: $1
    app.kubernetes.io/part-of: exchange-platform
    app.kubernetes.io/managed-by: exchange-operator
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: $3}}
  ${4:+storageClassName: $4}
END
}

save_keys() { # FOLDER
    local file
    (
        umask 077
        mkdir -p "$1"
        for file in secret.key credentials.json; do
            kubectl -n "$NAMESPACE" get secret "$EXCHANGE-keys" -o jsonpath="{.data.${file/./\\.}}" | base64 -d >"$1/$file"
        done
    )
}

bring_keys() { # FOLDER
    kubectl -n "$NAMESPACE" create secret generic "$EXCHANGE-keys" --dry-run=client -o yaml \
        --from-file="$1/secret.key" --from-file="$1/credentials.json" |
        kubectl -n "$NAMESPACE" apply -f -
}

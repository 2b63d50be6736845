# The containers: services, then each run in turn, then the post containers.

pipeline_status=0
pipeline_failed_by=''
previous_container=''
previous_exit_code=''
shutdown_mode=default

# create_container ARGS pulls and creates; the id is left in container_id. The
# registry may be slow to come up, so it tries five times; before the last, the
# images that are here are thrown away.
create_container() {
    if ! sh -n -c "set -- $1"; then
        log_error "the arguments of a container are not valid shell words: $1"
        return 1
    fi
    for try in 1 2 3 4 5; do
        container_id=$(podman_create "$1") && return 0
        case $try in
            4) traced podman rmi -a -f ;;
            5) break ;;
        esac
        sleep 1
    done
    return 1
}

# podman_create ARGS prints the id. It runs in a subshell: the arguments are the
# job's, and what they do to a shell must not end this one. The messages go
# through cat, as on a terminal podman draws bars, which are noise on a serial line.
podman_create() {
    set +u
    eval "set -- $1"
    {
        traced podman create --rm --privileged --pull=always --network=host \
            -e B2C_PIPELINE_STATUS="$pipeline_status" \
            -e B2C_PIPELINE_FAILED_BY="$pipeline_failed_by" \
            -e B2C_PIPELINE_PREV_CONTAINER="$previous_container" \
            -e B2C_PIPELINE_PREV_CONTAINER_EXIT_CODE="$previous_exit_code" \
            -e B2C_PIPELINE_SHUTDOWN_MODE="$shutdown_mode" \
            "$@" 2>&1 >&4 | cat >&3
    } 4>&1
}

# run_container ARGS returns the container's exit status, or 1 if there was none.
run_container() {
    section_start create_container 'Pull, create, and init the container'
    create_container "$1" || return 1

    section_start container_run 'About to start executing a container' ''
    traced podman start -a "$container_id" -i
    exit_code=$?

    section_start b2c_post_container 'gathering container results'
    previous_container=$1
    previous_exit_code=$exit_code
    # reboot(2) in a container ends its first process by a signal: SIGHUP for a
    # reboot, SIGINT for a power off.
    case $exit_code in
        129) shutdown_mode=reboot ;;
        130) shutdown_mode=poweroff ;;
    esac
    return "$exit_code"
}

# run_services starts them in the background; one that cannot fails the pipeline.
run_services() {
    for args in $opt_run_service; do
        section_start start_service_container 'Pull, create, init, and start the service container'
        create_container "$args" && traced podman start "$container_id" && continue
        pipeline_status=1
        pipeline_failed_by=$args
        log_error "the service container could not be started: $args"
        return 1
    done
}

run_containers() {
    for args in $opt_run; do
        if run_container "$args"; then
            log 'The container run successfully, load the next one!'
            continue
        else
            status=$?
        fi
        if [ "$pipeline_status" = 0 ]; then
            pipeline_status=$status
            pipeline_failed_by=$args
        fi
        if [ "$opt_pipefail" = 1 ]; then
            log "The container exited with error code $status, aborting the pipeline..."
            return 0
        fi
        log "The container exited with error code $status, continuing..."
    done
}

run_post_containers() {
    for args in $opt_run_post; do
        run_container "$args" || continue
    done
}

run_pipeline() {
    section_start start_pipeline 'Run all the cmdline-specified containers'
    if [ -z "$opt_run$opt_run_post" ]; then
        [ -z "$opt_run_service" ] || warn 'services alone are not started: give b2c.run or b2c.run_post too'
        return 0
    fi

    if run_services; then
        run_containers
        run_post_containers
    fi
    log "Execution is over, pipeline status: $pipeline_status"

    section_start cleanup 'Done executing the pipeline, clean up time!'
    [ -z "$opt_run_service" ] || traced podman container stop -a -t 2
    sync
}

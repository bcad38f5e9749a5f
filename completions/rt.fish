# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rt_global_optspecs
    string join \n root= log= log-format= log-level= debug systemd-cgroup cgroup-manager= rootless= criu= v/version h/help
end

function __fish_rt_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rt_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rt_using_subcommand
    set -l cmd (__fish_rt_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rt -n "__fish_rt_needs_command" -l root -d 'Keep the state of containers in DIR' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_needs_command" -l log -d 'Append log records to FILE instead of standard error' -r -F
complete -c rt -n "__fish_rt_needs_command" -l log-format -d 'How log records are written' -r -f -a "text\t''
json\t''"
complete -c rt -n "__fish_rt_needs_command" -l log-level -d 'The least severe record to log' -r -f -a "error\t''
warning\t''
info\t''
debug\t''"
complete -c rt -n "__fish_rt_needs_command" -l cgroup-manager -d 'Who makes the container\'s cgroup' -r -f -a "cgroupfs\t''
systemd\t''
disabled\t''"
complete -c rt -n "__fish_rt_needs_command" -l rootless -d 'Go on where an unprivileged user may not manage cgroups' -r -f -a "true\t''
false\t''
auto\t''"
complete -c rt -n "__fish_rt_needs_command" -l criu -d 'Ignored; criu is found in $PATH' -r -F
complete -c rt -n "__fish_rt_needs_command" -l debug -d 'Log everything, as --log-level debug'
complete -c rt -n "__fish_rt_needs_command" -l systemd-cgroup -d 'Let systemd manage cgroups, as --cgroup-manager systemd'
complete -c rt -n "__fish_rt_needs_command" -s v -l version -d 'Print the version'
complete -c rt -n "__fish_rt_needs_command" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_needs_command" -f -a "create" -d 'Create a container; its program waits for start'
complete -c rt -n "__fish_rt_needs_command" -f -a "start" -d 'Start the program of a created container'
complete -c rt -n "__fish_rt_needs_command" -f -a "run" -d 'Create a container, start it and wait for its end'
complete -c rt -n "__fish_rt_needs_command" -f -a "exec" -d 'Run another process in a container'
complete -c rt -n "__fish_rt_needs_command" -f -a "state" -d 'Print the state of a container as JSON'
complete -c rt -n "__fish_rt_needs_command" -f -a "kill" -d 'Send a signal to a container\'s process'
complete -c rt -n "__fish_rt_needs_command" -f -a "pause" -d 'Stop all processes of a container until `resume`'
complete -c rt -n "__fish_rt_needs_command" -f -a "resume" -d 'Let the processes of a paused container go on'
complete -c rt -n "__fish_rt_needs_command" -f -a "update" -d 'Change the limits of a container'
complete -c rt -n "__fish_rt_needs_command" -f -a "ps" -d 'List the processes of a container'
complete -c rt -n "__fish_rt_needs_command" -f -a "events" -d 'Print statistics and out-of-memory kills of a container as JSON'
complete -c rt -n "__fish_rt_needs_command" -f -a "stats" -d 'Show what containers use: memory, CPU, I/O, processes, pressure'
complete -c rt -n "__fish_rt_needs_command" -f -a "delete" -d 'Remove a stopped container and all that rt made for it'
complete -c rt -n "__fish_rt_needs_command" -f -a "list" -d 'List containers'
complete -c rt -n "__fish_rt_needs_command" -f -a "gc" -d 'Clear what a killed rt, a reboot or a lost state directory left'
complete -c rt -n "__fish_rt_needs_command" -f -a "spec" -d 'Write a config.json to start from'
complete -c rt -n "__fish_rt_needs_command" -f -a "check" -d 'Say all that is wrong with a bundle, and make nothing'
complete -c rt -n "__fish_rt_needs_command" -f -a "features" -d 'Print what this runtime supports as JSON'
complete -c rt -n "__fish_rt_needs_command" -f -a "completion" -d 'Print a completion script for a shell'
complete -c rt -n "__fish_rt_using_subcommand create" -s b -l bundle -d 'The bundle, a directory with config.json [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_using_subcommand create" -s f -l config -d 'Read FILE instead of the bundle\'s config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l pid-file -d 'Write the container\'s process id to FILE' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l console-socket -d 'Send the terminal\'s descriptor to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l pidfd-socket -d 'Send a pidfd of the process to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand create" -l preserve-fds -d 'Pass N more descriptors, from 3 up, to the process' -r
complete -c rt -n "__fish_rt_using_subcommand create" -l timeout -d 'Give up, and undo it, if the program does not run after this long' -r
complete -c rt -n "__fish_rt_using_subcommand create" -l no-pivot -d 'Change the root without pivot_root, for a host running from an initramfs'
complete -c rt -n "__fish_rt_using_subcommand create" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c rt -n "__fish_rt_using_subcommand create" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand start" -l timeout -d 'Give up, and undo it, if the program does not run after this long' -r
complete -c rt -n "__fish_rt_using_subcommand start" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand run" -s b -l bundle -d 'The bundle, a directory with config.json [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_using_subcommand run" -s f -l config -d 'Read FILE instead of the bundle\'s config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l pid-file -d 'Write the container\'s process id to FILE' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l console-socket -d 'Send the terminal\'s descriptor to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l pidfd-socket -d 'Send a pidfd of the process to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand run" -l preserve-fds -d 'Pass N more descriptors, from 3 up, to the process' -r
complete -c rt -n "__fish_rt_using_subcommand run" -l timeout -d 'Give up, and undo it, if the program does not run after this long' -r
complete -c rt -n "__fish_rt_using_subcommand run" -l no-pivot -d 'Change the root without pivot_root, for a host running from an initramfs'
complete -c rt -n "__fish_rt_using_subcommand run" -l no-new-keyring -d 'Keep the caller\'s session keyring'
complete -c rt -n "__fish_rt_using_subcommand run" -s d -l detach -d 'Return once the process has started'
complete -c rt -n "__fish_rt_using_subcommand run" -l keep -d 'Do not delete the container when its process ends'
complete -c rt -n "__fish_rt_using_subcommand run" -l no-subreaper -d 'Do not adopt the container\'s orphaned processes'
complete -c rt -n "__fish_rt_using_subcommand run" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand exec" -s p -l process -d 'Read the process from FILE, JSON as in config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l cwd -d 'Start in DIR of the container' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_using_subcommand exec" -s e -l env -d 'Set an environment variable (repeatable)' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s u -l user -d 'Run as this numeric user' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s g -l additional-gids -d 'Add a supplementary group (repeatable)' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l pid-file -d 'Write the process id to FILE' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l console-socket -d 'Send the terminal\'s descriptor to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l pidfd-socket -d 'Send a pidfd of the process to this unix socket' -r -F
complete -c rt -n "__fish_rt_using_subcommand exec" -l preserve-fds -d 'Pass N more descriptors, from 3 up, to the process' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s c -l cap -d 'Add a capability (repeatable)' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l apparmor -d 'Confine the process by this AppArmor profile' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l process-label -d 'Give the process this SELinux label' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l cgroup -d 'Run in this cgroup below the container\'s' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -l timeout -d 'Give up, and undo it, if the program does not run after this long' -r
complete -c rt -n "__fish_rt_using_subcommand exec" -s t -l tty -d 'Give the process a terminal'
complete -c rt -n "__fish_rt_using_subcommand exec" -s d -l detach -d 'Return once the process has started'
complete -c rt -n "__fish_rt_using_subcommand exec" -l no-new-privs -d 'Never let the process gain privileges'
complete -c rt -n "__fish_rt_using_subcommand exec" -l ignore-paused -d 'Start even if the container is paused; the process waits with it'
complete -c rt -n "__fish_rt_using_subcommand exec" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand state" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand kill" -s a -l all -d 'Succeed also if the container has stopped'
complete -c rt -n "__fish_rt_using_subcommand kill" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand pause" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand resume" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand update" -l blkio-weight -d 'Share of disk time, 10 to 1000' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-period -d 'Period of --cpu-quota' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-quota -d 'CPU time per period; -1 for any' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-burst -d 'Unused quota that may be saved up' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-share -d 'Share of CPU time, 2 to 262144' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-rt-period -d 'cgroup v1 only' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-rt-runtime -d 'cgroup v1 only' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpuset-cpus -d 'CPUs that may be used, such as 0-3,7' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpuset-mems -d 'Memory nodes that may be used' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l cpu-idle -d '1: run only when nobody else wants to' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l memory -d 'Memory limit, such as 512m; -1 for none' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l memory-reservation -d 'Memory that is not reclaimed' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l memory-swap -d 'Memory and swap together; -1 for any swap' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l kernel-memory -d 'Ignored' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l kernel-memory-tcp -d 'Ignored' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l pids-limit -d 'How many processes there may be; -1 for any' -r
complete -c rt -n "__fish_rt_using_subcommand update" -s r -l resources -d 'Read linux.resources from FILE, - for standard input; other limits are ignored' -r -F
complete -c rt -n "__fish_rt_using_subcommand update" -l l3-cache-schema -d 'Intel RDT cache allocation' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l mem-bw-schema -d 'Intel RDT memory bandwidth' -r
complete -c rt -n "__fish_rt_using_subcommand update" -l safe -d 'Lower memory only as far as it can be reclaimed without killing'
complete -c rt -n "__fish_rt_using_subcommand update" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand ps" -s f -l format -d 'How to print the list [default: table]' -r -f -a "table\t''
json\t''"
complete -c rt -n "__fish_rt_using_subcommand ps" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand events" -l interval -d 'Time between statistics [default: 5s]' -r
complete -c rt -n "__fish_rt_using_subcommand events" -l stats -d 'Print the statistics once and end'
complete -c rt -n "__fish_rt_using_subcommand events" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand stats" -l interval -d 'Time between two tables [default: 1s]' -r
complete -c rt -n "__fish_rt_using_subcommand stats" -l once -d 'Print one table, also on a terminal'
complete -c rt -n "__fish_rt_using_subcommand stats" -l json -d 'Print all numbers once, a JSON object per line and container'
complete -c rt -n "__fish_rt_using_subcommand stats" -l prom -d 'Print all numbers once, as Prometheus reads them'
complete -c rt -n "__fish_rt_using_subcommand stats" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand delete" -s f -l force -d 'Kill it first; succeed if it does not exist'
complete -c rt -n "__fish_rt_using_subcommand delete" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand list" -s f -l format -d 'How to print the list [default: table]' -r -f -a "table\t''
json\t''"
complete -c rt -n "__fish_rt_using_subcommand list" -s q -l quiet -d 'Print names only'
complete -c rt -n "__fish_rt_using_subcommand list" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand gc" -l dry-run -d 'Only say what would be removed'
complete -c rt -n "__fish_rt_using_subcommand gc" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand spec" -s b -l bundle -d 'The bundle, a directory with config.json [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_using_subcommand spec" -l seccomp -d 'Include the default seccomp profile, or none [default: none]' -r -f -a "default\t''
none\t''"
complete -c rt -n "__fish_rt_using_subcommand spec" -l rootless -d 'For a user without privileges'
complete -c rt -n "__fish_rt_using_subcommand spec" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand check" -s b -l bundle -d 'The bundle, a directory with config.json [default: .]' -r -f -a "(__fish_complete_directories)"
complete -c rt -n "__fish_rt_using_subcommand check" -s f -l config -d 'Read FILE instead of the bundle\'s config.json' -r -F
complete -c rt -n "__fish_rt_using_subcommand check" -l json -d 'Print one JSON object'
complete -c rt -n "__fish_rt_using_subcommand check" -l codes -d 'Print every code that a finding may have, and what helps'
complete -c rt -n "__fish_rt_using_subcommand check" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand features" -s h -l help -d 'Print help'
complete -c rt -n "__fish_rt_using_subcommand completion" -s h -l help -d 'Print help'

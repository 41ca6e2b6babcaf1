# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_liveroot_global_optspecs
    string join \n h/help V/version
end

function __fish_liveroot_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_liveroot_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_liveroot_using_subcommand
    set -l cmd (__fish_liveroot_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c liveroot -n "__fish_liveroot_needs_command" -s h -l help -d 'Print help'
complete -c liveroot -n "__fish_liveroot_needs_command" -s V -l version -d 'Print version'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "build" -d 'Makes a bootable live ISO from the root of a distribution'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "pack" -d 'Makes a squashfs of a directory or a tar archive'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "inspect" -d 'Tells what is on a live medium, ours or another\'s, and which ways it will start'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "verify" -d 'Reads all of a live medium and says whether it is intact, or which bytes are damaged'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "status" -d 'In a live system: its medium, its image, where changes go and how full that is'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "sessions" -d 'In a live system: its saved changes, those in use (*) and those put aside'
complete -c liveroot -n "__fish_liveroot_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -s o -l output -d 'The ISO to write' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l check-against -d 'Build it once more, compare with this ISO, say what differs first, and keep nothing' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l label -d 'Volume label, at most 32 characters; default: the distribution\'s name and version' -r
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l append -d 'More words for the kernel\'s command line, such as "console=ttyS0 quiet"' -r
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l kernel -d 'Kernel image; default: the newest of the tree with modules (boot/vmlinuz*, usr/lib/modules/*/vmlinuz)' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l agent -d 'The initramfs\'s agent; default: liveroot-init beside this program, or in /usr/lib/liveroot' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l drivers -d 'Drivers in the initramfs: what boot media need, or server adapters (SAS, Fibre Channel) too' -r -f -a "boot\t''
all\t''"
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l initrd -d 'A foreign initramfs in place of ours; the image\'s identity is appended to it' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l bios -d 'Start by BIOS, too: when isolinux is in the tree or on this machine, never, or in any case' -r -f -a "auto\t''
no\t''
require\t''"
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l compressor -d 'How blocks are packed' -r -f -a "zstd\t''
gzip\t''
xz\t''
lz4\t''"
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l level -d 'Effort: zstd 1 to 22 (default 15), gzip 1 to 12 (default 9)' -r
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l block-size -d 'Length of a block, a power of two from 4K to 1M; default: 128K' -r
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l sort -d 'Which files stand first: lines of a path and a priority, as mksquashfs reads them' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l squashfs-tool -d 'Who packs: our own writer, or squashfs-tools, for comparison' -r -f -a "liveroot\t''
mksquashfs\t''"
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l json -d 'Print one JSON object on standard output, and nothing else there'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l large-esp -d 'Let the EFI system partition be larger than the 32 MiB that a disc\'s boot entry can count'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l all-root -d 'Give all files to root, whoever owns them in TREE'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l fast -d 'Pack with a fifteenth of the CPU, for an eighth more bytes: zstd, level 3'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -l small -d 'Pack a quarter smaller, in six times the time; reads get slow: xz with its filter for x86, blocks of 1 MiB'
complete -c liveroot -n "__fish_liveroot_using_subcommand build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -s o -l output -d 'The squashfs to write' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -l sort -d 'A sort file of mksquashfs: which files stand first' -r -F
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -l fast -d 'Pack with a fifteenth of the CPU, for an eighth more bytes: zstd, level 3'
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -l all-root -d 'All files belong to root in the image'
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -l json -d 'Print one JSON object on standard output, sizes in bytes'
complete -c liveroot -n "__fish_liveroot_using_subcommand pack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c liveroot -n "__fish_liveroot_using_subcommand inspect" -l json -d 'Print one JSON object on standard output, offsets and lengths in bytes'
complete -c liveroot -n "__fish_liveroot_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c liveroot -n "__fish_liveroot_using_subcommand verify" -l json -d 'Print one JSON object on standard output, offsets and lengths in bytes'
complete -c liveroot -n "__fish_liveroot_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c liveroot -n "__fish_liveroot_using_subcommand status" -l json -d 'Print one JSON object, sizes in bytes, times in seconds since 1970'
complete -c liveroot -n "__fish_liveroot_using_subcommand status" -s h -l help -d 'Print help'
complete -c liveroot -n "__fish_liveroot_using_subcommand sessions" -l json -d 'Print one JSON object, sizes in bytes, times in seconds since 1970'
complete -c liveroot -n "__fish_liveroot_using_subcommand sessions" -s h -l help -d 'Print help'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "build" -d 'Makes a bootable live ISO from the root of a distribution'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "pack" -d 'Makes a squashfs of a directory or a tar archive'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "inspect" -d 'Tells what is on a live medium, ours or another\'s, and which ways it will start'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "verify" -d 'Reads all of a live medium and says whether it is intact, or which bytes are damaged'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "status" -d 'In a live system: its medium, its image, where changes go and how full that is'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "sessions" -d 'In a live system: its saved changes, those in use (*) and those put aside'
complete -c liveroot -n "__fish_liveroot_using_subcommand help; and not __fish_seen_subcommand_from build pack inspect verify status sessions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
